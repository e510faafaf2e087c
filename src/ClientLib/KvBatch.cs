namespace KvStore.Client;

/// <summary>Calls that have nothing to do with each other and are made side by side.</summary>
public sealed partial class KvBatch
{
    private readonly List<(KvKey Key, Func<IKvStore, CancellationToken, ValueTask<KvBatchItem>> Make)> _calls = [];

    public int Count => _calls.Count;

    /// <summary>Makes the calls of a store, each for itself: how a client does it, and what stands in for one may.</summary>
    /// <param name="store">Whose Get, Put and so on are called.</param>
    /// <param name="parallelism">Calls that may be under way at once.</param>
    /// <param name="cancellationToken">Ends the waiting, not the writes.</param>
    public async ValueTask<KvBatchResult> RunAsync(IKvStore store, int parallelism, CancellationToken cancellationToken = default)
    {
        var items = new KvBatchItem[_calls.Count];
        var limit = new ParallelOptions { MaxDegreeOfParallelism = parallelism, CancellationToken = cancellationToken };
        await Parallel.ForAsync(0, items.Length, limit, async (i, stop) =>
        {
            (KvKey key, Func<IKvStore, CancellationToken, ValueTask<KvBatchItem>> make) = _calls[i];
            try
            {
                items[i] = await make(store, stop).ConfigureAwait(false);
            }
            catch (KvException e)
            {
                items[i] = new KvBatchItem(key, null, null, null, e);
            }
        }).ConfigureAwait(false);
        return new KvBatchResult(items);
    }

    private KvBatch Add(KvKey key, Func<IKvStore, CancellationToken, ValueTask<KvWrite>> make) => Add(key, async (store, cancellation) =>
        new KvBatchItem(key, null, await make(store, cancellation).ConfigureAwait(false), null, null));

    private KvBatch Add(KvKey key, Func<IKvStore, CancellationToken, ValueTask<KvBatchItem>> make)
    {
        _calls.Add((key, make));
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
