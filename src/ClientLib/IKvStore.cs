namespace KvStore.Client;

/// <summary>
/// What can be asked of the store: small, so that tests of an application can stand in for it. The convenient rest is in
/// <see cref="KvStoreExtensions"/>. Not found and a condition that does not hold are answers; whatever else goes wrong is a
/// <see cref="KvException"/>.
/// </summary>
public interface IKvStore
{
    /// <summary>Serializers of typed calls that bring none.</summary>
    KvSerializerProvider Serializers { get; }

    /// <summary>Reads a key, at the level of the client or session unless <paramref name="read"/> says otherwise.</summary>
    ValueTask<KvRead> GetAsync(KvKey key, Read? read = null, CancellationToken cancellationToken = default);

    /// <summary>Writes a value; it is durable on a majority of disks when this returns.</summary>
    /// <exception cref="KvOutcomeUnknownException">It may have been written: <see cref="KvClient.ResolveAsync"/>.</exception>
    ValueTask<KvWrite> PutAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Removes a key. Applied also when it was not there; <see cref="KvWrite.Existed"/> tells.</summary>
    /// <exception cref="KvOutcomeUnknownException">It may have been removed.</exception>
    ValueTask<KvWrite> DeleteAsync(KvKey key, WriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Adds to a counter and returns it: a decimal 64-bit integer in ASCII, which <see cref="KvValue"/> makes of a number. Counted once,
    /// however often the call had to be sent.
    /// </summary>
    /// <param name="key">The counter.</param>
    /// <param name="delta">What is added; negative counts down.</param>
    /// <param name="initial">What an absent key holds before the delta.</param>
    /// <param name="options">A condition, and terms.</param>
    /// <param name="cancellationToken">Ends the waiting, not the write.</param>
    /// <exception cref="KvException">NotANumber: the value is none, or would leave 64 bits. ConditionFailed.</exception>
    ValueTask<long> IncrementAsync(
        KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Adds bytes to the end of a value; an absent key comes to hold them. A key that is there keeps its content type.</summary>
    ValueTask<KvWrite> AppendAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Carries out all writes or none, in order. All keys lie in one group: give them one <c>{tag}</c>.</summary>
    /// <exception cref="KvException">CrossGroupTransaction: they do not.</exception>
    ValueTask<KvTransactionResult> TransactAsync(KvTransaction transaction, CancellationToken cancellationToken = default);

    /// <summary>
    /// Carries out many calls side by side, each for itself: one that fails is an item with an error and leaves the others alone. At most
    /// <see cref="KvClientOptions.MaxBatchParallelism"/> are on their way at once.
    /// </summary>
    ValueTask<KvBatchResult> BatchAsync(KvBatch batch, CancellationToken cancellationToken = default);
}
