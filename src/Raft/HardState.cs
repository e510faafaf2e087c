namespace KvStore.Raft;

/// <summary>
/// What a replica must remember across a crash. Term and vote are durable before a vote leaves. Most texts call the commit
/// index volatile; it is not here: configurations take effect on apply, and a replica that forgets that a change was
/// committed may elect with the old configuration (docs/raft.md, "two removals"). So the commit index carried by an append
/// is durable with that append's entries; a commit that moves alone may be written lazily.
/// </summary>
public readonly record struct HardState(ulong Term, ReplicaId Vote, ulong Commit);
