using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The last report of each other node's room; it counts for a while. Any thread.</summary>
internal sealed class PeerRooms(int nodes, long validMs)
{
    private readonly Heard?[] _heard = new Heard?[nodes];

    private sealed record Heard(RoomReport Report, long AtMs);

    public void Hear(NodeId peer, RoomReport report, long nowMs)
    {
        ref Heard? place = ref _heard[peer.Value - 1];
        if (Volatile.Read(ref place) is not { } known || known.Report != report || nowMs - known.AtMs >= validMs / Refreshes)
        {
            Volatile.Write(ref place, new Heard(report, nowMs));
        }
    }

    /// <summary>Its connection is gone: what it lacked keeps nobody from writing any longer.</summary>
    public void Lost(NodeId peer) => Volatile.Write(ref _heard[peer.Value - 1], null);

    /// <summary>Null: nothing was heard of it lately.</summary>
    public RoomReport? Of(NodeId peer, long nowMs) =>
        peer.Value <= _heard.Length && Volatile.Read(ref _heard[peer.Value - 1]) is { } heard && nowMs - heard.AtMs <= validMs ? heard.Report : null;

    /// <summary>A report that says the same again is noted once in this part of its time: they come many times a second.</summary>
    private const int Refreshes = 16;
}
