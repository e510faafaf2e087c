namespace KvStore.Protocol;

/// <summary>
/// The identity of a write in a request and in the log: <c>nil|[client bin16, sequence, firstSentMs, ackedBelow, digestAlgorithm, digest]</c>.
/// A digest of an algorithm that this build does not know is kept as it is: it is compared with its like only.
/// </summary>
public static class RequestIdCodec
{
    private const int Fields = 6;

    public static void Write(ref MessagePackWriter writer, RequestId? id)
    {
        if (id is not { } known)
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(Fields);
        writer.Write(known.Client);
        writer.Write(known.Sequence);
        writer.Write(known.FirstSentMs);
        writer.Write(known.AckedBelow);
        writer.Write((uint)known.Digest.Algorithm);
        writer.Write(known.Digest.Value);
    }

    public static bool TryRead(ref MessagePackReader reader, out RequestId? id)
    {
        id = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryRead(out UInt128 client) || !reader.TryRead(out ulong sequence) || !reader.TryRead(out ulong firstSentMs)
            || !reader.TryRead(out ulong ackedBelow) || !reader.TryRead(out byte algorithm) || !reader.TryRead(out ulong digest)
            || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        id = new RequestId(client, sequence, firstSentMs, ackedBelow, new RequestDigest((DigestAlgorithm)algorithm, digest));
        return true;
    }
}
