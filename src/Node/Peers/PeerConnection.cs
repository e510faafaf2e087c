using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using KvStore.Protocol;

namespace KvStore.Node.Peers;

/// <summary>The other side sent bytes that are not the protocol. The connection is closed; nothing else happens.</summary>
internal sealed class PeerProtocolException(string message) : Exception(message);

/// <summary>One TCP connection between two nodes, in either direction, as frames.</summary>
internal sealed class PeerConnection : IDuplexPipe, IDisposable
{
    private const int ReceiveBufferBytes = 64 << 10;

    /// <summary>From the first byte of a frame that has come to its last one; the time in which we do not read does not count.</summary>
    public const int FrameTimeoutMs = 10_000;

    /// <summary>Bytes that are sent and not acknowledged by the other machine for so long end the connection.</summary>
    private const int UnacknowledgedLimitMs = 3000;
    private const int KeepAliveSeconds = 10;

    // Linux: setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT), which .NET has no name for.
    private const int TcpLevel = 6;
    private const int TcpUserTimeout = 18;

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly int _frameTimeoutMs;
    private byte[] _scratch = [];
    private InlineTurns _receiving;
    private InlineTurns _sending;

    public PeerConnection(Socket socket, int frameTimeoutMs = FrameTimeoutMs)
    {
        _frameTimeoutMs = frameTimeoutMs;
        socket.NoDelay = true; // a heartbeat does not wait for company
        if (OperatingSystem.IsLinux())
        {
            // After a long partition TCP itself would wait up to two minutes before it tries again.
            socket.SetRawSocketOption(TcpLevel, TcpUserTimeout, BitConverter.GetBytes(UnacknowledgedLimitMs));
        }

        // A connection that only receives finds out in no other way that the other machine is gone.
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveSeconds);
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        Input = PipeReader.Create(_stream, new StreamPipeReaderOptions(bufferSize: ReceiveBufferBytes, leaveOpen: true));
        Output = PipeWriter.Create(_stream, new StreamPipeWriterOptions(leaveOpen: true));
    }

    public PipeReader Input { get; }

    /// <summary>For a request channel; frames to peers go through <see cref="SendAsync"/>, which copies nothing.</summary>
    public PipeWriter Output { get; }

    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        while (!bytes.IsEmpty)
        {
            int sent = await _socket.SendAsync(bytes, SocketFlags.None, cancellation).ConfigureAwait(false);
            bytes = bytes[sent..];
            _sending.Count(sent);
        }

        if (_sending.TakeEnd())
        {
            await Task.Yield();
        }
    }

    /// <summary>
    /// Hands every frame to the handler until it answers false; true when that happened, false when the other side closed. The
    /// payload belongs to the connection and is valid during the call only. A frame that has begun and does not end in time is not the
    /// protocol: whoever sends it holds up to a frame of memory here and says nothing.
    /// </summary>
    public async ValueTask<bool> ReceiveAsync(
        int maxPayloadBytes, Func<FrameHeader, ReadOnlyMemory<byte>, bool> handle, CancellationToken cancellation)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var isUnfinished = false;
        while (true)
        {
            if (_receiving.TakeEnd())
            {
                await Task.Yield();
            }

            var read = await ReadInTimeAsync(late, cancellation).ConfigureAwait(false);
            var rest = read.Buffer;
            while (true)
            {
                var result = FrameReader.TryRead(ref rest, maxPayloadBytes, out var frame, out var error);
                if (result == DecodeResult.Malformed)
                {
                    throw new PeerProtocolException($"the bytes are not a frame: {error}");
                }

                if (result == DecodeResult.NeedMoreData)
                {
                    break;
                }

                if (isUnfinished)
                {
                    late.CancelAfter(Timeout.Infinite);
                    isUnfinished = false;
                }

                _receiving.Count(frame.Payload.Length);
                if (!handle(frame.Header, InOnePiece(frame.Payload)))
                {
                    Input.AdvanceTo(rest.Start);
                    return true;
                }
            }

            if (!isUnfinished && !rest.IsEmpty)
            {
                isUnfinished = true;
                late.CancelAfter(_frameTimeoutMs);
            }

            Input.AdvanceTo(rest.Start, rest.End);
            if (read.IsCompleted)
            {
                return false;
            }
        }
    }

    public void Dispose()
    {
        Input.Complete();
        Output.Complete();
        _stream.Dispose();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadResult> ReadInTimeAsync(CancellationTokenSource late, CancellationToken cancellation)
    {
        try
        {
            return await Input.ReadAsync(late.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new PeerProtocolException($"a frame has begun and not ended within {_frameTimeoutMs} ms");
        }
    }

    private ReadOnlyMemory<byte> InOnePiece(in ReadOnlySequence<byte> payload)
    {
        if (payload.IsSingleSegment)
        {
            return payload.First;
        }

        var length = (int)payload.Length;
        if (_scratch.Length < length)
        {
            _scratch = new byte[length];
        }

        payload.CopyTo(_scratch);
        return _scratch.AsMemory(0, length);
    }
}
