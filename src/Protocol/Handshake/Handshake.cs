using System.IO.Pipelines;

namespace KvStore.Protocol;

/// <summary>How dialling ended: exactly one of Ack and Refused is set, or neither and Failure says what happened.</summary>
public sealed record HandshakeResult(HelloAck? Ack, HelloRefused? Refused, string? Failure);

/// <summary>What arrived as the first frame of an accepted connection: one of the hellos, or neither and Failure.</summary>
public sealed record ReceivedHello(PeerHello? Peer, ClientHello? Client, string? Failure);

/// <summary>
/// The first two frames of every connection: hello by the side that dialled, then ack or refusal. The caller bounds the time by the
/// token. Bytes after the frame that was read stay in the pipe.
/// </summary>
public static class Handshake
{
    public static async Task<HandshakeResult> DialAsync(IDuplexPipe transport, ClientHello hello, CancellationToken cancellationToken)
    {
        await SendAsync(transport.Output, FrameKind.Hello, frames => HelloCodec.Encode(frames, hello), cancellationToken)
            .ConfigureAwait(false);
        return await ReadAnswerAsync(transport.Input, cancellationToken).ConfigureAwait(false);
    }

    public static async Task<HandshakeResult> DialAsync(IDuplexPipe transport, PeerHello hello, CancellationToken cancellationToken)
    {
        await SendAsync(transport.Output, FrameKind.Hello, frames => HelloCodec.Encode(frames, hello), cancellationToken)
            .ConfigureAwait(false);
        return await ReadAnswerAsync(transport.Input, cancellationToken).ConfigureAwait(false);
    }

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
            return new ReceivedHello(null, client, null);
        }

        if (frame == FrameKind.Hello && HelloCodec.TryDecode(payload, out PeerHello? peer) == DecodeResult.Ok)
        {
            return new ReceivedHello(peer, null, null);
        }

        return new ReceivedHello(null, null, $"the first frame is not a hello ({frame})");
    }

    public static ValueTask AcknowledgeAsync(PipeWriter output, HelloAck ack, CancellationToken cancellationToken) =>
        SendAsync(output, FrameKind.HelloAck, frames => HelloCodec.Encode(frames, ack), cancellationToken);

    /// <summary>The caller then closes the connection.</summary>
    public static ValueTask RefuseAsync(PipeWriter output, HelloRefused refused, CancellationToken cancellationToken) =>
        SendAsync(output, FrameKind.HelloRefused, frames => HelloCodec.Encode(frames, refused), cancellationToken);

    private static async Task<HandshakeResult> ReadAnswerAsync(PipeReader input, CancellationToken cancellationToken)
    {
        var (frame, payload, failure) = await ReadFrameAsync(input, cancellationToken).ConfigureAwait(false);
        if (failure is not null)
        {
            return new HandshakeResult(null, null, failure);
        }

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

    private static async ValueTask SendAsync(
        PipeWriter output, FrameKind kind, Action<FrameWriter> encode, CancellationToken cancellationToken)
    {
        var frames = new FrameWriter();
        frames.Begin(kind, FrameFlags.None, 0);
        encode(frames);
        if (!frames.TryEnd(Limits.MaxHelloBytes))
        {
            throw new ArgumentException($"a hello is at most {Limits.MaxHelloBytes} bytes");
        }

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
