using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The last two reports of each other node's disk. Any thread.</summary>
internal sealed class PeerDisks(int nodes, long validMs)
{
    private readonly Heard?[] _heard = new Heard?[nodes];

    private sealed record Heard(DiskReport Last, DiskReport? Before, long AtMs);

    /// <summary>An answer of a peer has come.</summary>
    public void Hear(NodeId peer, DiskReport report, long nowMs)
    {
        ref Heard? place = ref _heard[peer.Value - 1];
        Heard? known = Volatile.Read(ref place);
        DiskReport? before = known is not null && nowMs - known.AtMs <= validMs ? known.Last : null;
        Volatile.Write(ref place, new Heard(report, before, nowMs));
    }

    /// <summary>In its last two answers, the newer of which is recent, no write was too old.</summary>
    public bool IsWell(NodeId peer, long nowMs) =>
        Volatile.Read(ref _heard[peer.Value - 1]) is { Before: { } before } heard && nowMs - heard.AtMs <= validMs
        && heard.Last.AgeMs < DiskWatch.WellAgeMs && before.AgeMs < DiskWatch.WellAgeMs;
}
