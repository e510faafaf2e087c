using KvStore.Protocol;

namespace KvStore.Client;

public partial interface IKvStore
{
    /// <summary>Adds bytes to the end of a value; an absent key comes to hold them. A key that is there keeps its content type.</summary>
    ValueTask<KvWrite> AppendAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default);
}

public abstract partial class KvOperations
{
    public ValueTask<KvWrite> AppendAsync(
        KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Append(key, value, options), cancellationToken);
}

public sealed partial class KvBatch
{
    public KvBatch Append(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(key, (store, cancellation) => store.AppendAsync(key, value, options, cancellation));
}

public sealed partial class KvTransaction
{
    public KvTransaction Append(KvKey key, KvValue value, WriteOptions? options = null) =>
        Add(KeyWriteCall.Append(key, value, options));
}

internal readonly partial record struct KeyWriteCall
{
    public static KeyWriteCall Append(KvKey key, KvValue value, WriteOptions? options) =>
        new(key, options, (full, condition) => new Append(full.Span, value.Bytes.Span, value.ContentType, condition));
}
