namespace KvStore.Protocol;

/// <summary>
/// What a build can read and carry out, as one number: rules for applying entries, kinds in the log, sections of snapshots. Every hello
/// says it. A group writes at its own level, which rises by an entry once every member has said so; see docs/raft.md.
/// </summary>
public static class FeatureLevel
{
    /// <summary>Of builds that do not say a level.</summary>
    public const ushort First = 1;

    /// <summary>Of this build.</summary>
    public const ushort Max = 2;
}
