namespace KvStore.Client;

/// <summary>What a call of a batch does.</summary>
public enum KvBatchVerb
{
    Get,
    Put,
    Delete,
    Increment,
    Append,
}

/// <summary>One call of a batch; what its verb does not use is left at its default.</summary>
public sealed record KvBatchCall(KvBatchVerb Verb, KvKey Key)
{
    public KvValue Value { get; init; }

    public long Delta { get; init; }

    public long Initial { get; init; }

    public Read? Read { get; init; }

    public WriteOptions? Options { get; init; }
}

/// <summary>Calls that have nothing to do with each other and are made side by side.</summary>
public sealed class KvBatch
{
    private readonly List<KvBatchCall> _calls = [];

    public IReadOnlyList<KvBatchCall> Calls => _calls;

    public KvBatch Get(KvKey key, Read? read = null) => Add(new KvBatchCall(KvBatchVerb.Get, key) { Read = read });

    public KvBatch Put(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(new KvBatchCall(KvBatchVerb.Put, key) { Value = value, Options = options });

    public KvBatch Delete(KvKey key, WriteOptions? options = null) => Add(new KvBatchCall(KvBatchVerb.Delete, key) { Options = options });

    public KvBatch Append(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(new KvBatchCall(KvBatchVerb.Append, key) { Value = value, Options = options });

    public KvBatch Increment(KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null) =>
        Add(new KvBatchCall(KvBatchVerb.Increment, key) { Delta = delta, Initial = initial, Options = options });

    private KvBatch Add(KvBatchCall call)
    {
        _calls.Add(call);
        return this;
    }
}

/// <summary>What one call of a batch came to: exactly one of the four is set.</summary>
public sealed record KvBatchItem(KvKey Key, KvRead? Read, KvWrite? Write, long? Number, KvException? Error);

/// <param name="Items">In the order of the batch.</param>
public sealed record KvBatchResult(IReadOnlyList<KvBatchItem> Items)
{
    /// <summary>No call failed, and every condition held.</summary>
    public bool AllApplied => Items.All(item => item.Error is null && item.Write is not { Applied: false });
}
