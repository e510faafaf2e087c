using System.Runtime.InteropServices;
using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>Names a write within a virtual node.</summary>
internal readonly record struct RequestKey(UInt128 Client, ulong Sequence) : IComparable<RequestKey>
{
    /// <summary>The sequence of every write under a user-chosen key; clients count from 1.</summary>
    public const ulong UserKeySequence = 0;

    public bool IsUserKey => Sequence == UserKeySequence;

    public int CompareTo(RequestKey other) =>
        Client != other.Client ? Client.CompareTo(other.Client) : Sequence.CompareTo(other.Sequence);
}

/// <summary>What is remembered of an executed write, until group time passes <paramref name="ExpiresMs"/>.</summary>
internal readonly record struct IdempotencyRecord(ulong ExpiresMs, RequestDigest Digest, ExecutedOutcome Outcome)
{
    /// <summary>Memory, about: measured, between a table that is full and one that has just doubled.</summary>
    public long Bytes => OwnBytes + ((long)(Outcome.Items?.Length ?? 0) * ItemBytes);

    private const int OwnBytes = 260;

    /// <summary>Of a batch: what came of one of its items.</summary>
    private const int ItemBytes = 40;
}

/// <summary>
/// Every sequence of a client below <paramref name="Below"/> has been answered and is not executed (again) in this virtual node,
/// until group time passes <paramref name="ExpiresMs"/>. The default is no floor.
/// </summary>
internal readonly record struct IdempotencyFloor(ulong Below, ulong ExpiresMs)
{
    public bool Exists => Below != 0;
}

/// <summary>
/// Records and floors of one virtual node. The records of a client are chained in the order of their sequences, so that
/// raising its floor touches only what it replaces; records under user-chosen keys stand alone.
/// </summary>
internal sealed class VirtualNodeRecords
{
    private readonly Dictionary<RequestKey, ChainedRecord> _records = [];
    private readonly Dictionary<UInt128, ClientRow> _clients = [];

    public bool IsEmpty => _records.Count == 0 && _clients.Count == 0;

    /// <summary>Floors, ascending by client.</summary>
    public IEnumerable<(UInt128 Client, IdempotencyFloor Floor)> Floors =>
        _clients.Where(c => c.Value.Floor.Exists).OrderBy(c => c.Key).Select(c => (c.Key, c.Value.Floor));

    /// <summary>Records, ascending by client and sequence.</summary>
    public IEnumerable<(RequestKey Key, IdempotencyRecord Record)> Records
    {
        get
        {
            RequestKey[] keys = [.. _records.Keys];
            Array.Sort(keys);
            return keys.Select(key => (key, _records[key].Record));
        }
    }

    public bool TryGetRecord(RequestKey key, out IdempotencyRecord record)
    {
        bool found = _records.TryGetValue(key, out ChainedRecord chained);
        record = chained.Record;
        return found;
    }

    /// <summary>The default when the client has none.</summary>
    public IdempotencyFloor FloorOf(UInt128 client) => _clients.GetValueOrDefault(client).Floor;

    /// <summary>Memory of the client's records, about; those under user-chosen keys have no client.</summary>
    public long BytesOf(UInt128 client) => _clients.GetValueOrDefault(client).Bytes;

    /// <summary>The client's record with the lowest sequence.</summary>
    public bool TryGetFirst(UInt128 client, out RequestKey key)
    {
        key = new RequestKey(client, _clients.GetValueOrDefault(client).First);
        return key.Sequence != 0;
    }

    /// <summary>The key must be new; <see cref="Dictionary{TKey, TValue}.Add"/> holds us to it.</summary>
    /// <param name="key">Names the write.</param>
    /// <param name="record">What came of it.</param>
    /// <param name="slot">Where its expiry is kept; <see cref="Remove"/> gives it back.</param>
    public void Add(RequestKey key, IdempotencyRecord record, int slot)
    {
        if (key.IsUserKey)
        {
            _records.Add(key, new ChainedRecord { Record = record, Slot = slot });
            return;
        }

        ref ClientRow row = ref CollectionsMarshal.GetValueRefOrAddDefault(_clients, key.Client, out _);
        row.Bytes += record.Bytes;
        ulong previous = row.Last;
        ulong next = 0;
        if (row.First > key.Sequence)
        {
            (previous, next) = (0, row.First);
        }

        // Sequences arrive nearly ascending, so the place is at the end or a few steps before it.
        while (previous > key.Sequence)
        {
            next = previous;
            previous = _records[new RequestKey(key.Client, next)].Previous;
        }

        _records.Add(key, new ChainedRecord { Record = record, Slot = slot, Previous = previous, Next = next });
        Link(key.Client, ref row, previous, key.Sequence);
        Link(key.Client, ref row, key.Sequence, next);
    }

    public IdempotencyRecord Remove(RequestKey key, out int slot)
    {
        _records.Remove(key, out ChainedRecord removed);
        if (!key.IsUserKey)
        {
            ref ClientRow row = ref CollectionsMarshal.GetValueRefOrNullRef(_clients, key.Client);
            row.Bytes -= removed.Record.Bytes;
            Link(key.Client, ref row, removed.Previous, removed.Next);
            RemoveIfEmpty(key.Client, row);
        }

        slot = removed.Slot;
        return removed.Record;
    }

    /// <summary>The default removes the floor.</summary>
    public void SetFloor(UInt128 client, IdempotencyFloor floor)
    {
        ref ClientRow row = ref CollectionsMarshal.GetValueRefOrAddDefault(_clients, client, out _);
        row.Floor = floor;
        RemoveIfEmpty(client, row);
    }

    private void RemoveIfEmpty(UInt128 client, ClientRow row)
    {
        if (row.First == 0 && !row.Floor.Exists)
        {
            _clients.Remove(client);
        }
    }

    /// <summary>Makes two sequences neighbours; 0 on either side is the end of the chain.</summary>
    private void Link(UInt128 client, ref ClientRow row, ulong previous, ulong next)
    {
        if (previous == 0)
        {
            row.First = next;
        }
        else
        {
            CollectionsMarshal.GetValueRefOrNullRef(_records, new RequestKey(client, previous)).Next = next;
        }

        if (next == 0)
        {
            row.Last = previous;
        }
        else
        {
            CollectionsMarshal.GetValueRefOrNullRef(_records, new RequestKey(client, next)).Previous = previous;
        }
    }

    // Neighbours by sequence; 0 is none, for no sequence of a chain is 0.
    private struct ChainedRecord
    {
        public IdempotencyRecord Record;
        public int Slot;
        public ulong Previous;
        public ulong Next;
    }

    // Invariant: exists while the client has a floor or a chained record. First and Last are sequences, 0 when there is none.
    private struct ClientRow
    {
        public IdempotencyFloor Floor;
        public ulong First;
        public ulong Last;
        public long Bytes;
    }
}
