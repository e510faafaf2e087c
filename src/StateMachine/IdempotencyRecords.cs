namespace KvStore.StateMachine;

/// <summary>
/// The idempotency records and floors of a group: which writes of the last ten minutes were executed, and what came of them.
/// Kept per virtual node, because they move with it. A record replaced by a floor costs nothing more; without floors a busy
/// group would hold millions of records, with them it holds about as many as requests are in flight.
/// </summary>
internal sealed class IdempotencyRecords
{
    private readonly Dictionary<int, VirtualNodeRecords> _virtualNodes = [];

    // Invariant: one element per record, at its expiry, and one per floor, at its expiry or earlier: a busy client raises its
    // floor with every write, and looking at it again when it seems due is cheaper than moving its element each time.
    private readonly ExpiryQueue _expiries = new();
    private long _recordBytes;

    public int RecordCount { get; private set; }

    public int FloorCount { get; private set; }

    /// <summary>Records under user-chosen keys. Nobody acknowledges those, so each stays for the whole window.</summary>
    public int UserKeyCount { get; private set; }

    /// <summary>Memory of all of them, about.</summary>
    public long Bytes => _recordBytes + ((long)FloorCount * BytesPerFloor);

    /// <summary>Milliseconds of group time; the largest number when there is nothing that could expire.</summary>
    public ulong NextExpiryMs => _expiries.Count > 0 ? _expiries.Min.ExpiresMs : ulong.MaxValue;

    /// <summary>Null when the virtual node has neither records nor floors.</summary>
    public VirtualNodeRecords? Of(int virtualNode) => _virtualNodes.GetValueOrDefault(virtualNode);

    /// <summary>The key must be new: a record is never replaced by another.</summary>
    public void Add(int virtualNode, RequestKey key, IdempotencyRecord record)
    {
        int slot = _expiries.Add(new Expiry(record.ExpiresMs, virtualNode, key, IsFloor: false));
        OfOrNew(virtualNode).Add(key, record, slot);
        RecordCount++;
        _recordBytes += record.Bytes;
        UserKeyCount += key.IsUserKey ? 1 : 0;
    }

    /// <summary>
    /// Replaces a client's records below a sequence by a floor, which lives as long as the longest-lived thing it stands for.
    /// With the hint's own expiry alone, a client whose clock stepped back would lose a record while copies of its request are
    /// still young enough to be executed. A floor is never lowered.
    /// </summary>
    public void RaiseFloor(int virtualNode, UInt128 client, ulong below, ulong expiresMs)
    {
        VirtualNodeRecords records = OfOrNew(virtualNode);
        IdempotencyFloor old = records.FloorOf(client);
        if (below <= old.Below)
        {
            return;
        }

        expiresMs = Math.Max(expiresMs, old.ExpiresMs);
        while (records.TryGetFirst(client, out RequestKey key) && key.Sequence < below)
        {
            expiresMs = Math.Max(expiresMs, Remove(records, key).ExpiresMs);
        }

        records.SetFloor(client, new IdempotencyFloor(below, expiresMs));
        if (!old.Exists)
        {
            FloorCount++;
            _expiries.Add(new Expiry(expiresMs, virtualNode, new RequestKey(client, 0), IsFloor: true));
        }
    }

    /// <summary>
    /// Removes what expired strictly before group time: at equality the window still accepts a copy, which must find its
    /// record. Costs as much as there is to remove.
    /// </summary>
    public void Trim(ulong groupTimeMs)
    {
        while (_expiries.Count > 0 && _expiries.Min is var due && due.ExpiresMs < groupTimeMs)
        {
            VirtualNodeRecords records = _virtualNodes[due.VirtualNode];
            if (due.IsFloor)
            {
                TrimFloor(due, records, groupTimeMs);
            }
            else
            {
                Remove(records, due.Key);
            }

            if (records.IsEmpty)
            {
                _virtualNodes.Remove(due.VirtualNode);
            }
        }
    }

    private void TrimFloor(Expiry due, VirtualNodeRecords records, ulong groupTimeMs)
    {
        _expiries.RemoveMin();
        ulong expiresMs = records.FloorOf(due.Key.Client).ExpiresMs;
        if (expiresMs >= groupTimeMs)
        {
            _expiries.Add(due with { ExpiresMs = expiresMs });
            return;
        }

        records.SetFloor(due.Key.Client, default);
        FloorCount--;
    }

    private IdempotencyRecord Remove(VirtualNodeRecords records, RequestKey key)
    {
        IdempotencyRecord removed = records.Remove(key, out int slot);
        _expiries.Remove(slot);
        RecordCount--;
        _recordBytes -= removed.Bytes;
        UserKeyCount -= key.IsUserKey ? 1 : 0;
        return removed;
    }

    private const int BytesPerFloor = 190;

    private VirtualNodeRecords OfOrNew(int virtualNode)
    {
        if (!_virtualNodes.TryGetValue(virtualNode, out VirtualNodeRecords? records))
        {
            records = new VirtualNodeRecords();
            _virtualNodes.Add(virtualNode, records);
        }

        return records;
    }
}
