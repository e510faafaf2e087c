using System.Buffers;
using System.IO.Pipelines;

namespace KvStore.Protocol.Tests;

/// <summary>
/// What somebody who hears everything that two nodes with one secret say, and may dial and answer, can try without knowing it. Each returns
/// whether it was taken for a node. On one thread: whatever is sent is looked at before the next line runs.
/// </summary>
internal static class HandshakeAttacks
{
    private static readonly ClusterSecret Secret = new("a secret of thirty-two bytes !!!"u8);

    private static readonly PeerHello Hello = new()
    {
        ClusterId = "test",
        NodeName = "n2",
        NodeId = new NodeId(2),
        Uuid = new Guid("22222222-2222-2222-2222-222222222222"),
        Incarnation = 7,
        Process = 1,
        LayoutHash = new byte[32],
        ExpectedPeer = "n1",
    };

    private static readonly HelloAck Ack = new()
    {
        Protocol = 1,
        ClusterId = "test",
        NodeName = "n1",
        NodeId = new NodeId(1),
        Uuid = new Guid("11111111-1111-1111-1111-111111111111"),
        Incarnation = 3,
        LayoutHash = new byte[32],
        Process = 9,
    };

    /// <summary>Runs an attack on this thread; a context of the caller's would send parts of it elsewhere.</summary>
    public static bool Succeeds(Func<Task<bool>> attack)
    {
        SynchronizationContext? callers = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            Task<bool> end = attack();
            return end.IsCompleted ? end.GetAwaiter().GetResult() : throw new InvalidOperationException("a part of it waits, or runs elsewhere");
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(callers);
        }
    }

    /// <summary>Nobody in between: both let each other in.</summary>
    public static async Task<bool> NoneAsync()
    {
        Recording heard = await HearAsync();
        return heard.DiallerContent && heard.AcceptorContent;
    }

    /// <summary>Says what the side that dialled has said before.</summary>
    public static async Task<bool> ReplayTheDiallerAsync()
    {
        Recording heard = await HearAsync();
        var line = new Line();
        Task<bool> acceptor = AcceptAsync(line.End);
        await line.SendAsync(FrameKind.Hello, heard.Hello);
        line.Take(FrameKind.HelloChallenge);
        await line.SendAsync(FrameKind.HelloProof, heard.DiallerProof);
        return await acceptor;
    }

    /// <summary>Listens where a node listened, and says what that has said before.</summary>
    public static async Task<bool> ReplayTheAcceptorAsync()
    {
        Recording heard = await HearAsync();
        var line = new Line();
        Task<bool> dialler = DialAsync(line.End);
        line.Take(FrameKind.Hello);
        await line.SendAsync(FrameKind.HelloChallenge, heard.Challenge);
        line.Take(FrameKind.HelloProof);
        await line.SendAsync(FrameKind.HelloAck, heard.Ack);
        await line.SendAsync(FrameKind.HelloProof, heard.AcceptorProof);
        return await dialler;
    }

    /// <summary>Gives a node that dials its own random number to prove something with, and its own proof back.</summary>
    public static async Task<bool> ReflectAsync()
    {
        Recording heard = await HearAsync();
        var line = new Line();
        Task<bool> dialler = DialAsync(line.End);
        HelloCodec.TryDecode(line.Take(FrameKind.Hello), out PeerHello? said);
        await line.SendAsync(FrameKind.HelloChallenge, said!.Credentials.ToArray());
        byte[] proof = line.Take(FrameKind.HelloProof);
        await line.SendAsync(FrameKind.HelloAck, heard.Ack);
        await line.SendAsync(FrameKind.HelloProof, proof);
        return await dialler;
    }

    /// <summary>Two true nodes do the work, and another answer than the true one is put under their proof.</summary>
    public static async Task<bool> ExchangeTheAnswerAsync()
    {
        Line near = new(), far = new();
        Task<bool> dialler = DialAsync(near.End);
        Task<bool> acceptor = AcceptAsync(far.End);
        await far.SendAsync(FrameKind.Hello, near.Take(FrameKind.Hello));
        await near.SendAsync(FrameKind.HelloChallenge, far.Take(FrameKind.HelloChallenge));
        await far.SendAsync(FrameKind.HelloProof, near.Take(FrameKind.HelloProof));
        HelloCodec.TryDecode(far.Take(FrameKind.HelloAck), out HelloAck? said);
        await near.SendAsync(FrameKind.HelloAck, Encoded(output => HelloCodec.Encode(output, said! with { Incarnation = said.Incarnation + 1 })));
        await near.SendAsync(FrameKind.HelloProof, far.Take(FrameKind.HelloProof));
        return await acceptor && await dialler;
    }

    private static async Task<Recording> HearAsync()
    {
        Line near = new(), far = new();
        Task<bool> dialler = DialAsync(near.End);
        Task<bool> acceptor = AcceptAsync(far.End);
        byte[] hello = near.Take(FrameKind.Hello);
        await far.SendAsync(FrameKind.Hello, hello);
        byte[] challenge = far.Take(FrameKind.HelloChallenge);
        await near.SendAsync(FrameKind.HelloChallenge, challenge);
        byte[] diallerProof = near.Take(FrameKind.HelloProof);
        await far.SendAsync(FrameKind.HelloProof, diallerProof);
        byte[] ack = far.Take(FrameKind.HelloAck);
        byte[] acceptorProof = far.Take(FrameKind.HelloProof);
        await near.SendAsync(FrameKind.HelloAck, ack);
        await near.SendAsync(FrameKind.HelloProof, acceptorProof);
        return new Recording(hello, challenge, diallerProof, ack, acceptorProof, await dialler, await acceptor);
    }

    private static async Task<bool> DialAsync(IDuplexPipe transport) =>
        (await Handshake.DialAsync(transport, Hello with { NodeName = "n1", NodeId = new NodeId(1), ExpectedPeer = "n2" }, Secret, default).ConfigureAwait(false)).Ack is not null;

    private static async Task<bool> AcceptAsync(IDuplexPipe transport)
    {
        ReceivedHello received = await Handshake.ReceiveAsync(transport.Input, default).ConfigureAwait(false);
        if (await Handshake.ChallengeAsync(transport, received, Secret, default).ConfigureAwait(false) is not { } proof)
        {
            return false;
        }

        await Handshake.AcknowledgeAsync(transport.Output, Ack, proof, default).ConfigureAwait(false);
        return true;
    }

    private static byte[] Encoded(Action<IBufferWriter<byte>> encode)
    {
        var output = new ArrayBufferWriter<byte>();
        encode(output);
        return output.WrittenSpan.ToArray();
    }

    private sealed record Recording(
        byte[] Hello, byte[] Challenge, byte[] DiallerProof, byte[] Ack, byte[] AcceptorProof, bool DiallerContent, bool AcceptorContent);

    /// <summary>A connection of which this side is written and read by hand.</summary>
    private sealed class Line
    {
        private static readonly PipeOptions OnThisThread =
            new(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false);

        private readonly Pipe _there = new(OnThisThread);
        private readonly Pipe _back = new(OnThisThread);

        public IDuplexPipe End => new Other(_there.Reader, _back.Writer);

        public async Task SendAsync(FrameKind kind, byte[] payload)
        {
            var frame = new FrameWriter();
            frame.Write(kind, FrameFlags.None, 0, payload);
            await _there.Writer.WriteAsync(frame.Written).ConfigureAwait(false);
        }

        public byte[] Take(FrameKind expected)
        {
            if (!_back.Reader.TryRead(out ReadResult read))
            {
                throw new InvalidOperationException($"no {expected} was sent");
            }

            ReadOnlySequence<byte> rest = read.Buffer;
            if (FrameReader.TryRead(ref rest, Limits.MaxHelloBytes, out Frame frame, out _) != DecodeResult.Ok || frame.Header.Kind != expected)
            {
                throw new InvalidOperationException($"no {expected} was sent, but {frame.Header.Kind}");
            }

            byte[] payload = frame.Payload.ToArray();
            _back.Reader.AdvanceTo(rest.Start);
            return payload;
        }

        private sealed record Other(PipeReader Input, PipeWriter Output) : IDuplexPipe;
    }
}
