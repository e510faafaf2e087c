using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>Writes that are done together or not at all: 1 to 512 of them, of keys with one <c>{tag}</c>, each seeing those before it.</summary>
public sealed partial class KvTransaction
{
    private readonly List<KeyWriteCall> _items = [];

    public int Count => _items.Count;

    /// <summary>For all attempts together; null means the client's.</summary>
    public TimeSpan? Timeout { get; init; }

    internal Batch ToOperation(ReadOnlySpan<byte> prefix)
    {
        if (_items.Count is 0 or > Limits.MaxBatchItems)
        {
            throw new ArgumentException($"A transaction has 1 to {Limits.MaxBatchItems} writes; this one has {_items.Count}.");
        }

        var writes = new KeyWrite[_items.Count];
        for (int i = 0; i < writes.Length; i++)
        {
            writes[i] = _items[i].ToOperation(prefix);
        }

        return new Batch(writes);
    }

    private KvTransaction Add(KeyWriteCall call)
    {
        _items.Add(call);
        return this;
    }
}

/// <summary>What a transaction came to.</summary>
/// <param name="Applied">All writes were done; otherwise none.</param>
/// <param name="Items">One per write, in order. Where nothing was written: what each key has now.</param>
public sealed record KvTransactionResult(bool Applied, IReadOnlyList<KvTransactionItem> Items)
{
    /// <summary>The write that kept the others from being done; -1 when all were.</summary>
    public int FailedAt => Applied ? -1 : Items.ToList().FindIndex(item => item.Code != ErrorCode.None);
}

/// <param name="Code">None, or what is wrong with this write: ConditionFailed, NotANumber, TooLarge.</param>
/// <param name="Revision">Of the write; where nothing was written, what the key has.</param>
/// <param name="Number">Of a counter, after it.</param>
public readonly record struct KvTransactionItem(ErrorCode Code, KvRevision Revision, long? Number);
