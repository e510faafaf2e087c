namespace KvStore.Replication;

/// <summary>
/// What a group may do in a turn of its loop, and all it sees of the loop: the turn's time, what is written and sent together at its end, and
/// where requests and snapshot work go. One for each loop, used by that loop alone.
/// </summary>
internal sealed class Turn(LoopFront loop, LoopWrites writes, LoopPeers peers, LoopRequests requests, ulong seed)
{
    private ulong _random = seed;

    /// <summary>This turn's time on the node's elapsed clock.</summary>
    public long NowMs { get; set; }

    public long TickNumber { get; set; }

    public LoopFront Loop => loop;

    public LoopWrites Writes => writes;

    public LoopPeers Peers => peers;

    public LoopRequests Requests => requests;

    /// <summary>SplitMix64, seeded by the node: the same seed gives the same delays.</summary>
    public ulong NextRandom()
    {
        _random += 0x9E3779B97F4A7C15;
        ulong z = _random;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
