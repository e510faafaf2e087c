using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What each other node has said of itself in the hello of its present process, and when it was heard last. Any thread.
/// </summary>
internal sealed class PeerLevels(int nodes)
{
    private readonly Word?[] _words = new Word?[nodes];
    private readonly long[] _heardMs = new long[nodes];

    private sealed record Word(ulong Incarnation, ushort Level);

    /// <summary>0: the node is not connected, or has not said it yet.</summary>
    public ushort Of(NodeId peer) => Volatile.Read(ref _words[peer.Value - 1])?.Level ?? 0;

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

    /// <summary>On the node's elapsed clock; 0, its start, for a peer never heard.</summary>
    public long HeardMs(NodeId peer) => Volatile.Read(ref _heardMs[peer.Value - 1]);

    public void Heard(NodeId peer, long nowMs) => Volatile.Write(ref _heardMs[peer.Value - 1], nowMs);
}
