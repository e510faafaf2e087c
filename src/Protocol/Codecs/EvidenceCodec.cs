namespace KvStore.Protocol;

/// <summary>
/// What a reply says of its own worth; at most 37 bytes (definition: 40). A reader passes over fields behind those it knows.
/// <code>
/// evidence = nil|[level, ageMs, group, term, applied, node, role, path]        lag = nil|[entries, ageMs]
/// </code>
/// </summary>
public static class EvidenceCodec
{
    private const int EvidenceFields = 8;
    private const int LagFields = 2;

    public static void Encode(ref MessagePackWriter writer, Evidence evidence)
    {
        writer.WriteArrayHeader(EvidenceFields);
        writer.Write((int)evidence.Level);
        writer.Write(evidence.AgeMs);
        writer.Write(evidence.Group.Value);
        writer.Write(evidence.Term);
        writer.Write(evidence.Applied);
        writer.Write(evidence.Node.Value);
        writer.Write((int)evidence.Role);
        writer.Write((int)evidence.Path);
    }

    internal static void Encode(ref MessagePackWriter writer, ReplicaLag? lag)
    {
        if (lag is not { } known)
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(LagFields);
        writer.Write(known.Entries);
        writer.Write(known.AgeMs);
    }

    internal static bool TryRead(ref MessagePackReader reader, out Evidence? evidence)
    {
        evidence = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < EvidenceFields
            || !reader.TryRead(out byte level) || level > (byte)ReadLevel.Eventual
            || !reader.TryRead(out uint ageMs) || !reader.TryRead(out uint group) || !reader.TryRead(out ulong term)
            || !reader.TryRead(out ulong applied) || !reader.TryRead(out uint node)
            || !reader.TryRead(out byte role) || role is < (byte)ServedRole.Leader or > (byte)ServedRole.Learner
            || !reader.TryRead(out byte path) || path > (byte)ServedPath.Forwarded
            || !reader.TrySkip(fields - EvidenceFields))
        {
            return false;
        }

        evidence = new Evidence(
            (ReadLevel)level, ageMs, new GroupId(group), term, applied, new NodeId(node), (ServedRole)role, (ServedPath)path);
        return true;
    }

    internal static bool TryRead(ref MessagePackReader reader, out ReplicaLag? lag)
    {
        lag = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < LagFields || !reader.TryRead(out ulong entries)
            || !reader.TryRead(out uint ageMs) || !reader.TrySkip(fields - LagFields))
        {
            return false;
        }

        lag = new ReplicaLag(entries, ageMs);
        return true;
    }
}
