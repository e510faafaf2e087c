namespace KvStore.Client;

/// <summary>
/// What can be asked of the store: small, so that tests of an application can stand in for it. The convenient rest is in
/// <see cref="KvStoreExtensions"/>. Not found and a condition that does not hold are answers; whatever else goes wrong is a
/// <see cref="KvException"/>. What is asked of one key stands in Operations, a file for each operation.
/// </summary>
public partial interface IKvStore
{
    /// <summary>Serializers of typed calls that bring none.</summary>
    KvSerializerProvider Serializers { get; }

    /// <summary>Carries out all writes or none, in order. All keys lie in one group: give them one <c>{tag}</c>.</summary>
    /// <exception cref="KvException">CrossGroupTransaction: they do not.</exception>
    ValueTask<KvTransactionResult> TransactAsync(KvTransaction transaction, CancellationToken cancellationToken = default);

    /// <summary>
    /// Carries out many calls side by side, each for itself: one that fails is an item with an error and leaves the others alone. At most
    /// <see cref="KvClientOptions.MaxBatchParallelism"/> are on their way at once.
    /// </summary>
    ValueTask<KvBatchResult> BatchAsync(KvBatch batch, CancellationToken cancellationToken = default);
}
