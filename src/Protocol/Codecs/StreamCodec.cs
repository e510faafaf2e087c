using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Bodies of the frames that guide an answer in parts. The body of an item is its operation's own, that of a Cancel is empty.
/// <code>
/// Credit   [bytes]
/// GoAway   [reason, drainMs]
/// </code>
/// </summary>
public static class StreamCodec
{
    private const int CreditFields = 1;
    private const int GoAwayFields = 2;

    public static void EncodeCredit(IBufferWriter<byte> output, long bytes)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(CreditFields);
        writer.Write(bytes);
        writer.Flush();
    }

    /// <summary>Malformed also when it is no credit at all, or more than there can be.</summary>
    public static DecodeResult TryDecodeCredit(ReadOnlySpan<byte> payload, out long bytes)
    {
        bytes = 0;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return reader.Result;
        }

        if (fields < CreditFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryRead(out bytes) || !reader.TrySkip(fields - CreditFields))
        {
            return reader.Result;
        }

        return bytes is >= 1 and <= Limits.MaxStreamCreditBytes ? DecodeResult.Ok : DecodeResult.Malformed;
    }

    public static void Encode(IBufferWriter<byte> output, GoAway goAway)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(GoAwayFields);
        writer.Write((int)goAway.Reason);
        writer.Write(goAway.DrainMs);
        writer.Flush();
    }

    /// <summary>A reason this version does not know is kept as its number: what to do is the same.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out GoAway? goAway)
    {
        goAway = null;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return reader.Result;
        }

        if (fields < GoAwayFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryRead(out byte reason) || !reader.TryRead(out int drainMs) || !reader.TrySkip(fields - GoAwayFields))
        {
            return reader.Result;
        }

        if (drainMs < 0)
        {
            return DecodeResult.Malformed;
        }

        goAway = new GoAway((GoAwayReason)reason, drainMs);
        return DecodeResult.Ok;
    }
}
