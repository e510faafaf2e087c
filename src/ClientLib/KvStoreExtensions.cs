using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Serialization.Metadata;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>What is made of the few calls of a store.</summary>
public static class KvStoreExtensions
{
    /// <summary>Writes only if the key is not there: false (and nothing written) when it is.</summary>
    public static ValueTask<KvWrite> CreateAsync(this IKvStore store, KvKey key, KvValue value, CancellationToken cancellationToken = default) =>
        store.PutAsync(key, value, WriteOptions.Create, cancellationToken);

    /// <summary>Writes only if the key is there: false (and nothing written) when it is not.</summary>
    public static ValueTask<KvWrite> ReplaceAsync(this IKvStore store, KvKey key, KvValue value, CancellationToken cancellationToken = default) =>
        store.PutAsync(key, value, WriteOptions.Replace, cancellationToken);

    /// <summary>Whether the key is there.</summary>
    public static async ValueTask<bool> ExistsAsync(
        this IKvStore store, KvKey key, Read? read = null, CancellationToken cancellationToken = default) =>
        (await store.GetAsync(key, read, cancellationToken).ConfigureAwait(false)).Found;

    /// <summary>
    /// The value; where there is none, what the factory makes, written so that of several callers one wins and all get the same.
    /// </summary>
    public static async ValueTask<KvRead> GetOrCreateAsync(
        this IKvStore store, KvKey key, Func<CancellationToken, ValueTask<KvValue>> factory, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            KvRead read = await store.GetAsync(key, Read.Strong, cancellationToken).ConfigureAwait(false);
            if (read.Found)
            {
                return read;
            }

            KvValue value = await factory(cancellationToken).ConfigureAwait(false);
            KvWrite write = await store.CreateAsync(key, value, cancellationToken).ConfigureAwait(false);
            if (write.Applied)
            {
                return new KvRead(true, value, write.Revision, read.Evidence);
            }
        }
    }

    /// <summary>Reads many keys side by side, in the order asked for; the first failure is thrown.</summary>
    public static async ValueTask<IReadOnlyList<KvRead>> GetManyAsync(
        this IKvStore store, IReadOnlyList<KvKey> keys, Read? read = null, CancellationToken cancellationToken = default)
    {
        var batch = new KvBatch();
        foreach (KvKey key in keys)
        {
            batch.Get(key, read);
        }

        KvBatchResult result = await store.BatchAsync(batch, cancellationToken).ConfigureAwait(false);
        return [.. result.Items.Select(item => item.Read ?? throw item.Error!)];
    }

    /// <summary>Reads a typed value by the store's serializer.</summary>
    [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
    [RequiresDynamicCode(KvSerializers.NeedsReflection)]
    public static ValueTask<KvRead<T>> GetAsync<T>(this IKvStore store, KvKey key, Read? read = null, CancellationToken cancellationToken = default) =>
        store.GetAsync(key, store.Serializers.Of<T>(), read, cancellationToken);

    /// <summary>Reads a typed value as JSON by generated code.</summary>
    public static ValueTask<KvRead<T>> GetAsync<T>(
        this IKvStore store, KvKey key, JsonTypeInfo<T> type, Read? read = null, CancellationToken cancellationToken = default) =>
        store.GetAsync(key, KvSerializers.Json(type), read, cancellationToken);

    /// <summary>Reads a typed value.</summary>
    public static async ValueTask<KvRead<T>> GetAsync<T>(
        this IKvStore store, KvKey key, IKvSerializer<T> serializer, Read? read = null, CancellationToken cancellationToken = default) =>
        (await store.GetAsync(key, read, cancellationToken).ConfigureAwait(false)).As(serializer);

    /// <summary>Writes a typed value by the store's serializer.</summary>
    [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
    [RequiresDynamicCode(KvSerializers.NeedsReflection)]
    public static ValueTask<KvWrite> PutAsync<T>(
        this IKvStore store, KvKey key, T value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        store.PutAsync(key, store.Serializers.Of<T>().ToValue(value), options, cancellationToken);

    /// <summary>Writes a typed value as JSON by generated code.</summary>
    public static ValueTask<KvWrite> PutAsync<T>(
        this IKvStore store, KvKey key, T value, JsonTypeInfo<T> type, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        store.PutAsync(key, KvSerializers.Json(type).ToValue(value), options, cancellationToken);

    /// <summary>Writes a typed value.</summary>
    public static ValueTask<KvWrite> PutAsync<T>(
        this IKvStore store, KvKey key, T value, IKvSerializer<T> serializer, WriteOptions? options = null,
        CancellationToken cancellationToken = default) =>
        store.PutAsync(key, serializer.ToValue(value), options, cancellationToken);

    /// <summary>Values of one type under one prefix, by the store's serializer.</summary>
    [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
    [RequiresDynamicCode(KvSerializers.NeedsReflection)]
    public static KvCollection<T> Collection<T>(this IKvStore store, string prefix, Read? read = null) =>
        new(store, prefix, store.Serializers.Of<T>(), read);

    /// <summary>Values of one type under one prefix, as JSON by generated code.</summary>
    public static KvCollection<T> Collection<T>(this IKvStore store, string prefix, JsonTypeInfo<T> type, Read? read = null) =>
        new(store, prefix, KvSerializers.Json(type), read);

    /// <summary>Values of one type under one prefix.</summary>
    public static KvCollection<T> Collection<T>(this IKvStore store, string prefix, IKvSerializer<T> serializer, Read? read = null) =>
        new(store, prefix, serializer, read);

    /// <summary>
    /// Reads, changes and writes back, again while somebody else is faster: what is returned is what is stored. See
    /// <see cref="KvCollection{T}.UpdateAsync(string, Func{KvRead{T}, CancellationToken, ValueTask{KvChange{T}}}, CancellationToken)"/>.
    /// </summary>
    public static async ValueTask<KvRead<T>> UpdateAsync<T>(
        this IKvStore store, KvKey key, IKvSerializer<T> serializer, Func<KvRead<T>, CancellationToken, ValueTask<KvChange<T>>> update,
        CancellationToken cancellationToken = default)
    {
        for (int attempt = 1; ; attempt++)
        {
            KvRead<T> read = await store.GetAsync(key, serializer, Read.Strong, cancellationToken).ConfigureAwait(false);
            KvChange<T> change = await update(read, cancellationToken).ConfigureAwait(false);
            if (change.Kind == KvChangeKind.Leave || (change.Kind == KvChangeKind.Delete && !read.Found))
            {
                return read;
            }

            var unchanged = new WriteOptions { IfRevision = read.Revision };
            KvWrite write = change.Kind == KvChangeKind.Delete
                ? await store.DeleteAsync(key, unchanged, cancellationToken).ConfigureAwait(false)
                : await store.PutAsync(key, change.Value!, serializer, unchanged, cancellationToken).ConfigureAwait(false);
            if (write.Applied)
            {
                return change.Kind == KvChangeKind.Delete
                    ? new KvRead<T>(false, default, KvRevision.Absent, read.Evidence)
                    : new KvRead<T>(true, change.Value, write.Revision, read.Evidence);
            }

            if (attempt == MaxUpdateAttempts)
            {
                throw new KvException(ErrorCode.ConditionFailed, $"{key} was changed by others {attempt} times while it was being updated")
                {
                    Key = key,
                    Retryable = true,
                    Attempts = attempt,
                };
            }

            // Who lost waits a little, each as long as chance says: otherwise the same ones meet again.
            TimeProvider time = (store as KvOperations)?.Time ?? TimeProvider.System;
            var pause = TimeSpan.FromMilliseconds(Random.Shared.NextDouble() * Math.Min(attempt, 10));
            await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private const int MaxUpdateAttempts = 50;
}

/// <summary>What an update makes of a value.</summary>
public enum KvChangeKind
{
    Leave,
    Store,
    Delete,
}

/// <summary>What an update makes of a value: another one, none, or nothing at all.</summary>
public readonly record struct KvChange<T>(KvChangeKind Kind, T? Value)
{
    public static implicit operator KvChange<T>(T value) => new(KvChangeKind.Store, value);
}

/// <summary>Makes <see cref="KvChange{T}"/>.</summary>
public static class KvChange
{
    public static KvChange<T> Store<T>(T value) => new(KvChangeKind.Store, value);

    public static KvChange<T> Delete<T>() => new(KvChangeKind.Delete, default);

    public static KvChange<T> Leave<T>() => new(KvChangeKind.Leave, default);
}
