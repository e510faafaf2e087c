using System.IO.Pipelines;
using System.Net.Sockets;

namespace KvStore.Protocol;

/// <summary>A connected TCP socket as a duplex pipe. Disposing closes the socket, whatever state the pipes are in.</summary>
public sealed class SocketTransport : IDuplexPipe, IDisposable
{
    // Larger than the default so that most frames lie in one piece and are decoded in place.
    private const int SegmentBytes = 64 << 10;

    private readonly NetworkStream _stream;

    public SocketTransport(Socket socket)
    {
        // Frames are collected before they are written; waiting for more in the kernel would only add delay.
        socket.NoDelay = true;
        _stream = new NetworkStream(socket, ownsSocket: true);
        Input = PipeReader.Create(
            _stream, new StreamPipeReaderOptions(bufferSize: SegmentBytes, minimumReadSize: SegmentBytes / 4, leaveOpen: true));
        Output = PipeWriter.Create(_stream, new StreamPipeWriterOptions(leaveOpen: true));
    }

    public PipeReader Input { get; }

    public PipeWriter Output { get; }

    public void Dispose() => _stream.Dispose();
}
