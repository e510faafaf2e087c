using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What this node has room for, and what the others say they lack. Any thread asks, the loops look at memory once a tick.</summary>
internal sealed class NodeRoom
{
    private readonly StoreNodeOptions _options;
    private readonly NodeEvents _events;
    private readonly WriteAheadLog _log;
    private readonly Admission _admission;
    private readonly IReadOnlyList<LoopFront> _loops;
    private readonly PeerRooms _peers;

    public NodeRoom(StoreNodeOptions options, NodeEvents events, WriteAheadLog log, Admission admission, IReadOnlyList<LoopFront> loops)
    {
        (_options, _events, _log, _admission, _loops) = (options, events, log, admission, loops);
        Memory = new MemoryRoom(options.MemoryBytes, () => MemoryUse, OnMemoryChanged);
        Disk = new DiskRoom(options.Wal.SegmentBytes, OnGrowthChanged, OnEntriesChanged);
        _peers = new PeerRooms(options.NodeNames.Count, validMs: 2 * options.ElectionTimeoutMs);
    }

    public MemoryRoom Memory { get; }

    public DiskRoom Disk { get; }

    /// <summary>What this node has room for now.</summary>
    public RoomStatus Status => new(MemoryUse, Memory.LimitBytes, Memory.IsShort)
    {
        DiskFreeBytes = Disk.FreeBytes,
        IsDiskShort = Disk.IsShort,
        TakesNoEntries = Disk.TakesNoEntries,
    };

    /// <summary>What the other nodes are told.</summary>
    public RoomReport Report => new(
        (Disk.IsShort ? Shortage.Disk : Shortage.None) | (Disk.TakesNoEntries ? Shortage.DiskFull : Shortage.None)
        | (Memory.IsShort ? Shortage.Memory : Shortage.None));

    /// <summary>What it holds in memory now; leaves and records as at most a tick ago.</summary>
    private MemoryUse MemoryUse
    {
        get
        {
            long tables = 0;
            long records = 0;
            long queued = _admission.Bytes + _log.QueuedBytes;
            foreach (LoopFront loop in _loops)
            {
                tables += loop.Arena.ReservedBytes + loop.Counters.IndexBytes;
                records += loop.Counters.RecordBytes;
                queued += loop.PeerBytes;
            }

            return new MemoryUse(tables, records, _log.CachedBytes, queued);
        }
    }

    /// <summary>What another node has said in the last two election timeouts; null: nothing.</summary>
    public RoomReport? Of(NodeId peer, long nowMs) => _peers.Of(peer, nowMs);

    public void Hear(NodeId peer, RoomReport report, long nowMs) => _peers.Hear(peer, report, nowMs);

    /// <summary>Its connection is gone.</summary>
    public void Lost(NodeId peer) => _peers.Lost(peer);

    private void OnGrowthChanged(DiskUse use)
    {
        string now = $"{use.Free:N0} bytes are free, the largest group's snapshot takes about {use.LargestSnapshot:N0}";
        _events.Report(Disk.IsShort
            ? new NodeEvent(NodeEventKind.DiskShort, default, 0, 0, $"the disk is short, {now}: writes that grow are refused, deletes and reads go on")
            : new NodeEvent(NodeEventKind.DiskEnough, default, 0, 0, $"the disk has room again, {now}"));
    }

    private void OnEntriesChanged(DiskUse use) => _events.Report(Disk.TakesNoEntries
        ? new NodeEvent(NodeEventKind.DiskShort, default, 0, 0, $"the disk is full, {use.Free:N0} bytes are free and {use.LogRoom:N0} left in the log: no entries are taken, votes and reads go on")
        : new NodeEvent(NodeEventKind.DiskEnough, default, 0, 0, $"the disk is full no more, {use.Free:N0} bytes are free: entries are taken again"));

    private void OnMemoryChanged(bool isShort, MemoryUse use)
    {
        string now = $"{use.Lasting:N0} of {_options.MemoryBytes:N0} bytes are taken (tables {use.Tables:N0}, records {use.Records:N0}, log {use.Log:N0})";
        _events.Report(isShort
            ? new NodeEvent(NodeEventKind.MemoryShort, default, 0, 0, $"memory is short, {now}: writes that grow are refused, deletes and reads go on")
            : new NodeEvent(NodeEventKind.MemoryEnough, default, 0, 0, $"memory is enough again, {now}"));
    }
}
