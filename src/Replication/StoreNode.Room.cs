namespace KvStore.Replication;

/// <summary>What this node has room for. Any thread asks, the loops look at it once a tick.</summary>
public sealed partial class StoreNode
{
    /// <summary>What it holds in memory now; leaves and records as at most a tick ago.</summary>
    private MemoryUse MemoryUse
    {
        get
        {
            long tables = 0;
            long records = 0;
            long queued = Interlocked.Read(ref _inFlightBytes) + Log.QueuedBytes;
            foreach (ShardLoop loop in _loops)
            {
                tables += loop.Arena.ReservedBytes + loop.Counters.IndexBytes;
                records += loop.Counters.RecordBytes;
                queued += loop.PeerInboxBytes;
            }

            return new MemoryUse(tables, records, Log.CachedBytes, queued);
        }
    }

    /// <summary>What this node has room for now.</summary>
    public RoomStatus Room => new(MemoryUse, Memory.LimitBytes, Memory.IsShort);

    internal MemoryRoom Memory { get; }

    private void OnMemoryChanged(bool isShort, MemoryUse use)
    {
        string now = $"{use.Lasting:N0} of {Options.MemoryBytes:N0} bytes are taken (tables {use.Tables:N0}, records {use.Records:N0}, log {use.Log:N0})";
        Report(isShort
            ? new NodeEvent(NodeEventKind.MemoryShort, default, 0, 0, $"memory is short, {now}: writes that grow are refused, deletes and reads go on")
            : new NodeEvent(NodeEventKind.MemoryEnough, default, 0, 0, $"memory is enough again, {now}"));
    }
}
