using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Peers;

/// <summary>A connection on which frames are written and read by hand.</summary>
internal sealed class HandshakeLine(TcpClient client) : IDisposable
{
    private readonly PipeReader _input = PipeReader.Create(client.GetStream());

    public static async Task<HandshakeLine> DialAsync(IPEndPoint address)
    {
        var client = new TcpClient();
        await client.ConnectAsync(address);
        return new HandshakeLine(client);
    }

    public static (FrameKind Kind, byte[] Payload) Take(ref ReadOnlySequence<byte> bytes)
    {
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref bytes, Limits.MaxPeerFrameBytes, out Frame frame, out _));
        return (frame.Header.Kind, frame.Payload.ToArray());
    }

    public async Task SendAsync(FrameKind kind, byte[] payload)
    {
        var frame = new FrameWriter();
        frame.Write(kind, FrameFlags.None, 0, payload);
        await client.GetStream().WriteAsync(frame.Written);
    }

    public async Task<(FrameKind Kind, byte[] Payload)> ReadAsync()
    {
        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        while (true)
        {
            ReadResult read = await _input.ReadAsync(patience.Token);
            ReadOnlySequence<byte> rest = read.Buffer;
            if (FrameReader.TryRead(ref rest, Limits.MaxPeerFrameBytes, out Frame frame, out _) == DecodeResult.Ok)
            {
                (FrameKind, byte[]) result = (frame.Header.Kind, frame.Payload.ToArray());
                _input.AdvanceTo(rest.Start);
                return result;
            }

            Assert.False(read.IsCompleted, "closed in the middle of the handshake");
            _input.AdvanceTo(rest.Start, rest.End);
        }
    }

    public async Task<HelloRefused> RefusalAsync()
    {
        (FrameKind kind, byte[] payload) = await ReadAsync();
        Assert.Equal(FrameKind.HelloRefused, kind);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(payload, out HelloRefused? refused));
        return refused!;
    }

    public async Task<bool> IsClosedAsync()
    {
        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        try
        {
            return (await _input.ReadAsync(patience.Token)).IsCompleted;
        }
        catch (IOException)
        {
            return true; // reset
        }
    }

    public void Dispose() => client.Dispose();
}
