using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// A moment on a node's own elapsed clock, as that node tells it and others echo it: only the same process of the same node can
/// read it. No incarnation: none.
/// </summary>
internal readonly record struct Stamp(ulong Incarnation, ulong Ticks)
{
    public bool IsNone => Incarnation == 0;
}

/// <summary>
/// The confirmation rounds a loop started lately: when, and the last stamp it had from each peer at that moment. A round that
/// is confirmed later proves to a peer that its data is as fresh as the stamp latched then; the newest stamp of the pair would
/// be a lie, for it may have been given after writes the round knows nothing of.
/// </summary>
/// <param name="nodeCount">Peers are numbered from 1.</param>
internal sealed class RoundHistory(int nodeCount)
{
    /// <summary>Rounds remembered; a round confirmed later than that proves nothing to anybody.</summary>
    public const int Capacity = 1024;

    /// <summary>Low bits of a round that count within one process; the bits above are its incarnation.</summary>
    public const int CounterBits = 40;

    private readonly ulong[] _rounds = new ulong[Capacity];
    private readonly long[] _startedTicks = new long[Capacity];
    private readonly Stamp[] _latched = new Stamp[Capacity * nodeCount];
    private readonly Stamp[] _last = new Stamp[nodeCount];

    /// <summary>A peer's answer carried this stamp. Frames overtake each other: the newest counts.</summary>
    public void Hear(NodeId peer, Stamp stamp)
    {
        ref Stamp last = ref _last[peer.Value - 1];
        if (stamp.Incarnation > last.Incarnation || (stamp.Incarnation == last.Incarnation && stamp.Ticks > last.Ticks))
        {
            last = stamp;
        }
    }

    /// <summary>To be called before any commit index is read for the round.</summary>
    public void Start(ulong round, long nowTicks)
    {
        int slot = (int)(round % Capacity);
        _rounds[slot] = round;
        _startedTicks[slot] = nowTicks;
        _last.CopyTo(_latched.AsSpan(slot * nodeCount));
    }

    /// <summary>When the round was started, on the own clock. False: it is forgotten.</summary>
    public bool TryFind(ulong round, out long startedTicks)
    {
        int slot = (int)(round % Capacity);
        startedTicks = _startedTicks[slot];
        return _rounds[slot] == round;
    }

    /// <summary>The last stamp the peer had sent when a round that TryFind finds was started; none when there was none.</summary>
    public Stamp LatchedFrom(NodeId peer, ulong round) => _latched[(int)(round % Capacity) * nodeCount + (int)peer.Value - 1];
}
