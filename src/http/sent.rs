//! Tells when a response has been sent to its end.
//!
//! hyper says when it has taken a whole body, but it keeps what it took in buffers. So the
//! connection's stream watches for the next flush after that: hyper flushes the stream only when
//! its own buffers are empty, so by then the whole body has been handed to the operating system,
//! through TLS if that is spoken. Whether the client reads it from there, nobody can tell.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// What is to be called once the bodies that have ended are sent. Shared by a connection's stream
/// and the bodies that go over it.
#[derive(Default)]
pub(super) struct WhenSent(Mutex<Vec<Callback>>);

impl WhenSent {
    /// Calls this once everything is sent that hyper was given until now.
    pub(super) fn call(&self, callback: Callback) {
        self.lock().push(callback);
    }

    /// Everything that hyper had is sent.
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

/// The stream of a connection. It changes nothing of what goes through it.
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
