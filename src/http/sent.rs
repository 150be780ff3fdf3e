//! Detects when a whole response has been sent.
//!
//! hyper shows when it has taken a whole body, but it then keeps a part of it in buffers. So the
//! connection's stream watches for the next flush after that. hyper flushes the stream only when
//! its own buffers are empty, so by then the whole body has been passed to the operating system,
//! through TLS if that is switched on. Whether the client reads it from there is not detectable.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// The callbacks of bodies that have ended but may still be in hyper's buffers. Shared by a
/// connection's stream and the bodies that are sent through it.
#[derive(Default)]
pub(super) struct WhenSent(Mutex<Vec<Callback>>);

impl WhenSent {
    /// Registers a callback that runs once everything that hyper has taken until now is sent.
    pub(super) fn call(&self, callback: Callback) {
        self.lock().push(callback);
    }

    /// Runs all callbacks: hyper's buffers are empty.
    fn flushed(&self) {
        let due = std::mem::take(&mut *self.lock());
        for callback in due {
            callback();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Callback>> {
        self.0.lock().expect("no thread panics while it holds it")
    }
}

/// A connection's stream that reports flushes. It passes all bytes through unchanged.
pub(super) struct SentStream<S> {
    stream: S,
    sent: Arc<WhenSent>,
}

impl<S> SentStream<S> {
    pub(super) fn new(stream: S, sent: Arc<WhenSent>) -> Self {
        Self { stream, sent }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SentStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SentStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.sent.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
