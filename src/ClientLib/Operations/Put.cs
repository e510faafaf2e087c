using KvStore.Protocol;

namespace KvStore.Client;

public partial interface IKvStore
{
    /// <summary>Writes a value; it is durable on a majority of disks when this returns.</summary>
    /// <exception cref="KvOutcomeUnknownException">It may have been written: <see cref="KvClient.ResolveAsync"/>.</exception>
    ValueTask<KvWrite> PutAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default);
}

public abstract partial class KvOperations
{
    public ValueTask<KvWrite> PutAsync(
        KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Put(key, value, options), cancellationToken);
}

public sealed partial class KvBatch
{
    public KvBatch Put(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(key, (store, cancellation) => store.PutAsync(key, value, options, cancellation));
}

public sealed partial class KvTransaction
{
    public KvTransaction Put(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(KeyWriteCall.Put(key, value, options));
}

internal readonly partial record struct KeyWriteCall
{
    public static KeyWriteCall Put(KvKey key, KvValue value, WriteOptions? options) =>
        new(key, options, (full, condition) => new Put(full.Span, value.Bytes.Span, value.ContentType, condition));
}
