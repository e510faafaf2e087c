using System.Buffers;
using System.IO.Pipelines;

namespace KvStore.Protocol;

/// <summary>How dialling ended: exactly one of Ack and Refused is set, or neither and Failure says what happened.</summary>
public sealed record HandshakeResult(HelloAck? Ack, HelloRefused? Refused, string? Failure);

/// <summary>What arrived as the first frame of an accepted connection: one of the hellos, or neither and Failure.</summary>
public sealed record ReceivedHello(PeerHello? Peer, ClientHello? Client, string? Failure)
{
    /// <summary>The hello as it came.</summary>
    public ReadOnlyMemory<byte> Payload { get; init; }

    /// <summary>
    /// What to answer before the connection is closed, when a frame came that is no hello; null with <see cref="Failure"/> when not
    /// even a frame came: whoever speaks something else would not understand it.
    /// </summary>
    public HelloRefused? Answer => IsFrame ? new HelloRefused(HelloRefusal.Malformed, Failure!) : null;

    internal bool IsFrame { get; init; }
}

/// <summary>
/// The first frames of every connection: hello by the side that dialled, then ack or refusal. Where nodes have a secret, a challenge and
/// a proof come in between, and a proof behind the answer. The caller bounds the time by the
/// token. Bytes after the frame that was read stay in the pipe.
/// </summary>
public static class Handshake
{
    public static Task<HandshakeResult> DialAsync(IDuplexPipe transport, ClientHello hello, CancellationToken cancellationToken) =>
        DialAsync(transport, hello, null, cancellationToken);

    public static Task<HandshakeResult> DialAsync(IDuplexPipe transport, PeerHello hello, CancellationToken cancellationToken) =>
        DialAsync(transport, hello, null, cancellationToken);

    /// <summary>With a secret the other side has to prove that it knows it, too; an answer without is a failure, whatever it says.</summary>
    public static Task<HandshakeResult> DialAsync(
        IDuplexPipe transport, ClientHello hello, ClusterSecret? secret, CancellationToken cancellationToken) =>
        DialAsync(transport, Payload(frames => HelloCodec.Encode(frames, WithNonce(hello, secret))), secret, cancellationToken);

    /// <inheritdoc cref="DialAsync(IDuplexPipe, ClientHello, ClusterSecret?, CancellationToken)"/>
    public static Task<HandshakeResult> DialAsync(
        IDuplexPipe transport, PeerHello hello, ClusterSecret? secret, CancellationToken cancellationToken) =>
        DialAsync(transport, Payload(frames => HelloCodec.Encode(frames, WithNonce(hello, secret))), secret, cancellationToken);

    /// <summary>Reads the hello of an accepted connection; the caller judges it and then acknowledges or refuses.</summary>
    public static async Task<ReceivedHello> ReceiveAsync(PipeReader input, CancellationToken cancellationToken)
    {
        var (frame, payload, failure) = await ReadFrameAsync(input, cancellationToken).ConfigureAwait(false);
        if (failure is not null)
        {
            return new ReceivedHello(null, null, failure);
        }

        if (frame == FrameKind.Hello && HelloCodec.TryDecode(payload, out ClientHello? client) == DecodeResult.Ok)
        {
            return new ReceivedHello(null, client, null) { Payload = payload };
        }

        if (frame == FrameKind.Hello && HelloCodec.TryDecode(payload, out PeerHello? peer) == DecodeResult.Ok)
        {
            return new ReceivedHello(peer, null, null) { Payload = payload };
        }

        return new ReceivedHello(
            null, null, frame == FrameKind.Hello ? "the hello has not the fields of a client's or a node's" : $"the first frame is not a hello ({frame})")
        {
            IsFrame = true,
        };
    }

    /// <summary>Has the side that dialled prove that it knows the secret; null when it does not.</summary>
    public static async Task<HandshakeProof?> ChallengeAsync(
        IDuplexPipe transport, ReceivedHello received, ClusterSecret secret, CancellationToken cancellationToken)
    {
        byte[] hello = received.Payload.ToArray();
        byte[] challenge = ClusterSecret.NewNonce();
        await SendAsync(transport.Output, FrameKind.HelloChallenge, challenge, cancellationToken).ConfigureAwait(false);
        var (frame, proof, failure) = await ReadFrameAsync(transport.Input, cancellationToken).ConfigureAwait(false);
        return failure is null && frame == FrameKind.HelloProof && ClusterSecret.AreEqual(proof, secret.ProofOfDialler(hello, challenge))
            ? new HandshakeProof(secret, hello, challenge)
            : null;
    }

    public static ValueTask AcknowledgeAsync(PipeWriter output, HelloAck ack, CancellationToken cancellationToken) =>
        AcknowledgeAsync(output, ack, null, cancellationToken);

    /// <param name="output">To the side that dialled.</param>
    /// <param name="ack">Who answers.</param>
    /// <param name="proof">Of the handshake; null where there is no secret.</param>
    /// <param name="cancellationToken">Bounds the time.</param>
    public static ValueTask AcknowledgeAsync(PipeWriter output, HelloAck ack, HandshakeProof? proof, CancellationToken cancellationToken) =>
        AnswerAsync(output, FrameKind.HelloAck, Payload(frames => HelloCodec.Encode(frames, ack)), proof, cancellationToken);

    /// <summary>The caller then closes the connection.</summary>
    public static ValueTask RefuseAsync(PipeWriter output, HelloRefused refused, CancellationToken cancellationToken) =>
        RefuseAsync(output, refused, null, cancellationToken);

    /// <inheritdoc cref="RefuseAsync(PipeWriter, HelloRefused, CancellationToken)"/>
    public static ValueTask RefuseAsync(PipeWriter output, HelloRefused refused, HandshakeProof? proof, CancellationToken cancellationToken) =>
        AnswerAsync(output, FrameKind.HelloRefused, Payload(frames => HelloCodec.Encode(frames, refused)), proof, cancellationToken);

    // The reserved field for credentials holds the random number of the side that dials.
    private static ClientHello WithNonce(ClientHello hello, ClusterSecret? secret) =>
        secret is null ? hello : hello with { Credentials = ClusterSecret.NewNonce() };

    private static PeerHello WithNonce(PeerHello hello, ClusterSecret? secret) =>
        secret is null ? hello : hello with { Credentials = ClusterSecret.NewNonce() };

    private static async Task<HandshakeResult> DialAsync(
        IDuplexPipe transport, byte[] hello, ClusterSecret? secret, CancellationToken cancellationToken)
    {
        await SendAsync(transport.Output, FrameKind.Hello, hello, cancellationToken).ConfigureAwait(false);
        var (frame, payload, failure) = await ReadFrameAsync(transport.Input, cancellationToken).ConfigureAwait(false);
        byte[]? challenge = null;
        if (secret is not null && failure is null && frame == FrameKind.HelloChallenge && payload.Length == ClusterSecret.NonceBytes)
        {
            challenge = payload;
            await SendAsync(transport.Output, FrameKind.HelloProof, secret.ProofOfDialler(hello, challenge), cancellationToken)
                .ConfigureAwait(false);
            (frame, payload, failure) = await ReadFrameAsync(transport.Input, cancellationToken).ConfigureAwait(false);
        }

        var answer = failure is null ? Decode(frame, payload) : new HandshakeResult(null, null, failure);
        if (secret is null || answer.Failure is not null)
        {
            return answer;
        }

        if (challenge is not null)
        {
            var (kind, proof, ended) = await ReadFrameAsync(transport.Input, cancellationToken).ConfigureAwait(false);
            if (ended is null && kind == FrameKind.HelloProof
                && ClusterSecret.AreEqual(proof, secret.ProofOfAcceptor(hello, challenge, payload)))
            {
                return answer;
            }
        }

        return new HandshakeResult(null, null, answer.Refused is { } refused
            ? $"it refuses ({refused.Reason}: {refused.Detail}), without a proof that it knows the cluster secret"
            : "it does not prove that it knows the cluster secret; give all nodes the same one, and this build");
    }

    private static HandshakeResult Decode(FrameKind frame, byte[] payload)
    {
        if (frame == FrameKind.HelloAck && HelloCodec.TryDecode(payload, out HelloAck? ack) == DecodeResult.Ok)
        {
            return new HandshakeResult(ack, null, null);
        }

        if (frame == FrameKind.HelloRefused && HelloCodec.TryDecode(payload, out HelloRefused? refused) == DecodeResult.Ok)
        {
            return new HandshakeResult(null, refused, null);
        }

        return new HandshakeResult(null, null, $"the answer to the hello is not one ({frame})");
    }

    private static async ValueTask AnswerAsync(
        PipeWriter output, FrameKind kind, byte[] payload, HandshakeProof? proof, CancellationToken cancellationToken)
    {
        await SendAsync(output, kind, payload, cancellationToken).ConfigureAwait(false);
        if (proof is not null)
        {
            await SendAsync(output, FrameKind.HelloProof, proof.Of(payload), cancellationToken).ConfigureAwait(false);
        }
    }

    private static byte[] Payload(Action<IBufferWriter<byte>> encode)
    {
        var payload = new ArrayBufferWriter<byte>();
        encode(payload);
        return payload.WrittenSpan.ToArray();
    }

    private static async ValueTask SendAsync(PipeWriter output, FrameKind kind, byte[] payload, CancellationToken cancellationToken)
    {
        if (payload.Length > Limits.MaxHelloBytes)
        {
            throw new ArgumentException($"a hello is at most {Limits.MaxHelloBytes} bytes");
        }

        var frames = new FrameWriter();
        frames.Write(kind, FrameFlags.None, 0, payload);
        await output.WriteAsync(frames.Written, cancellationToken).ConfigureAwait(false);
        frames.Release();
    }

    private static async ValueTask<(FrameKind Kind, byte[] Payload, string? Failure)> ReadFrameAsync(
        PipeReader input, CancellationToken cancellationToken)
    {
        while (true)
        {
            var result = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            var buffer = result.Buffer;
            byte[] scratch = [];
            switch (FrameReader.TryRead(ref buffer, Limits.MaxHelloBytes, out var frame, out var error))
            {
                case DecodeResult.Ok:
                    byte[] payload = frame.PayloadSpan(ref scratch).ToArray();

                    // Nothing after the frame has been looked at: the loop that takes over sees it in its first read.
                    input.AdvanceTo(buffer.Start);
                    return (frame.Kind, payload, null);
                case DecodeResult.Malformed:
                    input.AdvanceTo(buffer.Start, buffer.End);
                    return (default, [], $"not our protocol ({error})");
            }

            input.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCompleted || result.IsCanceled)
            {
                return (default, [], "the connection was closed during the handshake");
            }
        }
    }
}
