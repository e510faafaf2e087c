using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;

namespace KvStore.Client;

/// <summary>What a <see cref="KvDistributedCache"/> may be told.</summary>
public sealed class KvCacheOptions
{
    /// <summary>Before every key of the cache.</summary>
    public string KeyPrefix { get; set; } = "cache/";

    /// <summary>
    /// Level of its reads. Unless said otherwise they are of one session of this cache: what this process has written it sees at once, what others
    /// have written as soon as the replica that is asked has it.
    /// </summary>
    public Read? Read { get; set; }
}

/// <summary>
/// A cache in the store: values of at most 1 MiB. The store has no expiry yet, so an entry that is to expire is refused instead of being
/// kept for ever. The calls without "Async" block a thread while they wait.
/// </summary>
public sealed class KvDistributedCache : IBufferDistributedCache
{
    private readonly IKvStore _store;
    private readonly string _prefix;
    private readonly Read? _read;

    /// <param name="client">Stays the caller's.</param>
    /// <param name="options">Read once.</param>
    public KvDistributedCache(KvClient client, KvCacheOptions options)
    {
        _store = options.Read is null ? client.CreateSession() : client;
        _prefix = options.KeyPrefix;
        _read = options.Read;
    }

    public byte[]? Get(string key) => Wait(() => GetAsync(key));

    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default) =>
        (await _store.GetAsync(KeyOf(key), _read, token).ConfigureAwait(false)).ToArray();

    public bool TryGet(string key, IBufferWriter<byte> destination) => Wait(() => TryGetAsync(key, destination).AsTask());

    public async ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        KvRead read = await _store.GetAsync(KeyOf(key), _read, token).ConfigureAwait(false);
        if (read.Found)
        {
            destination.Write(read.Value.Bytes.Span);
        }

        return read.Found;
    }

    /// <exception cref="NotSupportedException">The entry is to expire.</exception>
    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => Wait(() => SetAsync(key, value, options));

    /// <exception cref="NotSupportedException">The entry is to expire.</exception>
    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) =>
        PutAsync(key, value, options, token);

    /// <exception cref="NotSupportedException">The entry is to expire.</exception>
    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options) =>
        Wait(() => PutAsync(key, value.ToArray(), options, default));

    /// <exception cref="NotSupportedException">The entry is to expire.</exception>
    public ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default) =>
        new(PutAsync(key, value.ToArray(), options, token));

    /// <summary>Nothing expires, so nothing has to be kept from it.</summary>
    public void Refresh(string key)
    {
    }

    /// <summary>Nothing expires, so nothing has to be kept from it.</summary>
    public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

    public void Remove(string key) => Wait(() => RemoveAsync(key));

    public async Task RemoveAsync(string key, CancellationToken token = default) =>
        await _store.DeleteAsync(KeyOf(key), cancellationToken: token).ConfigureAwait(false);

    private async Task<bool> PutAsync(string key, ReadOnlyMemory<byte> value, DistributedCacheEntryOptions options, CancellationToken token)
    {
        if (options.AbsoluteExpiration is not null || options.AbsoluteExpirationRelativeToNow is not null || options.SlidingExpiration is not null)
        {
            throw new NotSupportedException(
                $"'{key}' is to expire, and this store has no expiry yet: it would be kept for ever. Set it without an expiration and remove it yourself.");
        }

        return await _store.PutAsync(KeyOf(key), value, cancellationToken: token).ConfigureAwait(false);
    }

    private KvKey KeyOf(string key) => _prefix + key;

    // On another thread: whoever calls may hold one that the continuation would wait for.
    private static T Wait<T>(Func<Task<T>> call) => Task.Run(call).GetAwaiter().GetResult();

    private static void Wait(Func<Task> call) => Task.Run(call).GetAwaiter().GetResult();
}
