using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What each other node has said of itself in the hello of its present process, and when it was heard last. Any thread.
/// </summary>
internal sealed class PeerLevels(StoreNodeOptions options, NodeClock clock)
{
    private readonly Word?[] _words = new Word?[options.NodeNames.Count];
    private readonly long[] _heardMs = new long[options.NodeNames.Count];

    private sealed record Word(ulong Incarnation, ushort Level);

    /// <summary>0 for a node that has not said its level since it was last connected, or that this cluster does not have.</summary>
    public ushort LevelOf(NodeId peer) => peer.IsNone || peer.Value > _words.Length ? (ushort)0
        : peer == options.Self ? options.MaxLevel
        : Volatile.Read(ref _words[peer.Value - 1])?.Level ?? 0;

    /// <summary>
    /// What needs this level is said between the two, in either direction: both know it. Where it is not, nothing can be concluded from silence,
    /// whichever of the two is older or held at a lower level.
    /// </summary>
    public bool Speaks(NodeId peer, ushort level) => options.MaxLevel >= level && LevelOf(peer) >= level;

    /// <summary>The node has sent nothing for an election timeout, or nothing since this process started so long ago.</summary>
    public bool IsAway(NodeId node) => !node.IsNone && node != options.Self && node.Value <= _heardMs.Length
        && clock.ElapsedMs() - Volatile.Read(ref _heardMs[node.Value - 1]) >= options.ElectionTimeoutMs;

    /// <summary>The word of an earlier process of the peer, come late, changes nothing.</summary>
    public void Said(NodeId peer, ulong incarnation, ushort level)
    {
        ref Word? place = ref _words[peer.Value - 1];
        var said = new Word(incarnation, level);
        for (Word? known = Volatile.Read(ref place); known is null || known.Incarnation <= incarnation;)
        {
            Word? seen = Interlocked.CompareExchange(ref place, said, known);
            if (ReferenceEquals(seen, known))
            {
                return;
            }

            known = seen;
        }
    }

    /// <summary>The connection is gone. Who comes back may be another build in the same folder: it has to say its level again.</summary>
    public void Lost(NodeId peer)
    {
        if (Volatile.Read(ref _words[peer.Value - 1]) is { Level: > 0 } known)
        {
            _ = Interlocked.CompareExchange(ref _words[peer.Value - 1], known with { Level = 0 }, known);
        }
    }

    public void Heard(NodeId peer) => Volatile.Write(ref _heardMs[peer.Value - 1], clock.ElapsedMs());
}
