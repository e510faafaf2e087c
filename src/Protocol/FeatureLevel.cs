namespace KvStore.Protocol;

/// <summary>
/// What a build can read and carry out, as one number: rules for applying entries, kinds in the log, sections of snapshots. Every hello
/// says it. A group writes at its own level, which rises by an entry once every member has said so; see docs/raft.md.
/// </summary>
/// <remarks>
/// A level that a build was released with is closed: builds that say it are out there and know what it had then and no more. So a new
/// operation, section or form of an entry raises <see cref="Max"/> by one, unless nothing was released with the present one yet, and
/// belongs to that: an operation says it as the level of its row in <see cref="OperationTable"/> and as <see cref="Operation.Level"/>.
/// <c>OperationLevelTests</c> has one line for each level with the operations of it.
/// </remarks>
public static class FeatureLevel
{
    /// <summary>Of builds that do not say a level.</summary>
    public const ushort First = 1;

    /// <summary>Of this build.</summary>
    public const ushort Max = 2;
}
