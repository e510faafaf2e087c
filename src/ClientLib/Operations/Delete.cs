using KvStore.Protocol;

namespace KvStore.Client;

public partial interface IKvStore
{
    /// <summary>Removes a key. Applied also when it was not there; <see cref="KvWrite.Existed"/> tells.</summary>
    /// <exception cref="KvOutcomeUnknownException">It may have been removed.</exception>
    ValueTask<KvWrite> DeleteAsync(KvKey key, WriteOptions? options = null, CancellationToken cancellationToken = default);
}

public abstract partial class KvOperations
{
    public ValueTask<KvWrite> DeleteAsync(KvKey key, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Delete(key, options), cancellationToken);
}

public sealed partial class KvBatch
{
    public KvBatch Delete(KvKey key, WriteOptions? options = null) =>
        Add(key, (store, cancellation) => store.DeleteAsync(key, options, cancellation));
}

public sealed partial class KvTransaction
{
    public KvTransaction Delete(KvKey key, WriteOptions? options = null) =>
        Add(KeyWriteCall.Delete(key, options));
}

internal readonly partial record struct KeyWriteCall
{
    public static KeyWriteCall Delete(KvKey key, WriteOptions? options) =>
        new(key, options, static (full, condition) => new Delete(full.Span, condition));
}
