//! Detects when a whole response has been sent.
//!
//! hyper shows when it has taken a whole body, but it then keeps a part of it in buffers: in HTTP/2, as
//! much as the client has not yet asked for. So each piece of a body notices when hyper drops it, which
//! is after it was written or copied to a buffer. The connection's stream then watches for the next
//! flush: by then, the whole body has been passed to the operating system, through TLS if that is
//! switched on. Whether the client reads it from there is not detectable.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// The callbacks of bodies that have ended but may still be in hyper's buffers. Shared by a
/// connection's stream and the bodies that are sent through it.
#[derive(Default)]
pub(super) struct WhenSent(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    callbacks: Vec<Callback>,
    /// Whether the client is gone. What hyper still has in its buffers is then dropped, not sent.
    is_closed: bool,
}

impl WhenSent {
    /// Registers a callback that runs once everything that hyper has taken until now is sent.
    pub(super) fn call(&self, callback: Callback) {
        let mut pending = self.lock();
        if !pending.is_closed {
            pending.callbacks.push(callback);
        }
    }

    /// Runs all callbacks: hyper's buffers are empty.
    fn flushed(&self) {
        let due = std::mem::take(&mut self.lock().callbacks);
        for callback in due {
            callback();
        }
    }

    /// Drops all callbacks, also those that come later.
    fn closed(&self) {
        *self.lock() = Pending {
            callbacks: Vec::new(),
            is_closed: true,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().expect("no thread panics while it holds it")
    }
}

/// A body on its way: when its last piece is dropped after its end, the callback waits for the next
/// flush.
pub(super) struct Delivery {
    sent: Arc<WhenSent>,
    /// The callback, once the body has ended.
    callback: Mutex<Option<Callback>>,
}

/// A piece of a body.
struct Piece {
    bytes: Bytes,
    _delivery: Arc<Delivery>,
}

impl Delivery {
    pub(super) fn new(sent: Arc<WhenSent>) -> Arc<Self> {
        Arc::new(Self {
            sent,
            callback: Mutex::new(None),
        })
    }

    /// Returns a piece of the body that keeps the delivery open until it is dropped.
    pub(super) fn piece(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Piece {
            bytes,
            _delivery: Arc::clone(self),
        })
    }

    /// Notes that the body has ended. Without this, the callback never runs.
    pub(super) fn end(self: Arc<Self>, callback: Callback) {
        let mut of_body = self.callback.lock().unwrap_or_else(PoisonError::into_inner);
        *of_body = Some(callback);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let callback = self.callback.get_mut();
        let callback = callback.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(callback) = callback {
            self.sent.call(callback);
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A connection's stream that reports flushes. It passes all bytes through unchanged.
pub(super) struct SentStream<S> {
    stream: S,
    sent: Arc<WhenSent>,
    /// Whether the end of what the client sends is the end of the connection. In HTTP/1, a client may
    /// close its side and still read the response.
    is_http2: bool,
}

impl<S> SentStream<S> {
    pub(super) fn new(stream: S, sent: Arc<WhenSent>, is_http2: bool) -> Self {
        Self {
            stream,
            sent,
            is_http2,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SentStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buffer.filled().len();
        let has_room = buffer.remaining() > 0;
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let is_end = has_room && buffer.filled().len() == had;
        if read.is_err() || is_end && self.is_http2 {
            self.sent.closed();
        }
        Poll::Ready(read)
    }
}

impl<S> SentStream<S> {
    /// Passes on the result of an operation. After an error, nothing more is sent.
    fn checked<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = result {
            self.sent.closed();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SentStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.checked(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.checked(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        ready!(self.checked(flushed))?;
        self.sent.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.checked(shut_down)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Whether a callback runs at a flush that follows the end of what the client sends.
    async fn is_sent_after_the_end(is_http2: bool) -> bool {
        let (client, server) = duplex(64);
        let sent = Arc::new(WhenSent::default());
        let mut stream = SentStream::new(server, Arc::clone(&sent), is_http2);
        drop(client);
        let read = stream.read(&mut [0; 8]).await;
        assert_eq!(read.expect("the client has closed its side"), 0);
        let is_called = Arc::new(AtomicBool::new(false));
        let called = Arc::clone(&is_called);
        sent.call(Box::new(move || called.store(true, Ordering::Relaxed)));
        stream.flush().await.expect("nothing is buffered");
        is_called.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn nothing_counts_as_sent_once_an_http2_client_has_gone() {
        assert!(!is_sent_after_the_end(true).await);
        assert!(is_sent_after_the_end(false).await);
    }
}
