namespace KvStore.Raft;

/// <summary>What a snapshot replaces: the log up to and including <paramref name="Index"/>. Data never travels in a Raft message.</summary>
/// <param name="Index">Last entry the snapshot contains.</param>
/// <param name="Term">Term of that entry.</param>
/// <param name="LastClock">Last revision used up to that entry; the next entry starts above it.</param>
/// <param name="Configuration">Configuration in force at that entry.</param>
public sealed record SnapshotMetadata(ulong Index, ulong Term, ulong LastClock, ConfState Configuration);
