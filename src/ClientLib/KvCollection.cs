using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>Values of one type under one prefix: serializer, prefix and level of reads in one place. Safe for any number of threads.</summary>
public sealed class KvCollection<T>
{
    private readonly IKvStore _store;
    private readonly string _prefix;
    private readonly IKvSerializer<T> _serializer;
    private readonly Read? _read;

    internal KvCollection(IKvStore store, string prefix, IKvSerializer<T> serializer, Read? read) =>
        (_store, _prefix, _serializer, _read) = (store, prefix, serializer, read);

    /// <summary>The same values through another store: a session, for example.</summary>
    public KvCollection<T> Through(IKvStore store) => new(store, _prefix, _serializer, _read);

    public KvKey KeyOf(string id) => _prefix + id;

    public ValueTask<KvRead<T>> GetAsync(string id, Read? read = null, CancellationToken cancellationToken = default) =>
        _store.GetAsync(KeyOf(id), _serializer, read ?? _read, cancellationToken);

    public ValueTask<bool> ExistsAsync(string id, Read? read = null, CancellationToken cancellationToken = default) =>
        _store.ExistsAsync(KeyOf(id), read ?? _read, cancellationToken);

    public ValueTask<KvWrite> PutAsync(string id, T value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        _store.PutAsync(KeyOf(id), value, _serializer, options, cancellationToken);

    /// <summary>Writes only if there is none: false when there is.</summary>
    public ValueTask<KvWrite> CreateAsync(string id, T value, CancellationToken cancellationToken = default) =>
        PutAsync(id, value, WriteOptions.Create, cancellationToken);

    /// <summary>Writes only if there is one: false when there is none.</summary>
    public ValueTask<KvWrite> ReplaceAsync(string id, T value, CancellationToken cancellationToken = default) =>
        PutAsync(id, value, WriteOptions.Replace, cancellationToken);

    public ValueTask<KvWrite> DeleteAsync(string id, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        _store.DeleteAsync(KeyOf(id), options, cancellationToken);

    /// <summary>The value; where there is none, what the factory makes, written so that of several callers one wins and all get the same.</summary>
    public async ValueTask<T> GetOrCreateAsync(
        string id, Func<CancellationToken, ValueTask<T>> factory, CancellationToken cancellationToken = default)
    {
        KvRead read = await _store.GetOrCreateAsync(
            KeyOf(id), async stop => _serializer.ToValue(await factory(stop).ConfigureAwait(false)), cancellationToken).ConfigureAwait(false);
        return read.As(_serializer).Value!;
    }

    /// <summary>
    /// Changes a value that is there: reads it, calls <paramref name="update"/>, and writes the result if nobody was faster; otherwise again.
    /// The function may be called several times. Returns what is stored.
    /// </summary>
    /// <exception cref="KvException">KeyNotFound: there is none. ConditionFailed: others were faster fifty times.</exception>
    public async ValueTask<T> UpdateAsync(string id, Func<T, T> update, CancellationToken cancellationToken = default)
    {
        KvRead<T> stored = await UpdateAsync(
            id,
            (read, _) => read.Found
                ? ValueTask.FromResult(KvChange.Store(update(read.Value!)))
                : throw new KvException(ErrorCode.KeyNotFound, $"{KeyOf(id)} is not there; nothing was updated") { Key = KeyOf(id) },
            cancellationToken).ConfigureAwait(false);
        return stored.Value!;
    }

    /// <summary>
    /// The same for a function that waits, that may be given a value that is not there, and that may <see cref="KvChange.Leave{T}">leave</see> it
    /// or <see cref="KvChange.Delete{T}">delete</see> it. Returns what is stored.
    /// </summary>
    public ValueTask<KvRead<T>> UpdateAsync(
        string id, Func<KvRead<T>, CancellationToken, ValueTask<KvChange<T>>> update, CancellationToken cancellationToken = default) =>
        _store.UpdateAsync(KeyOf(id), _serializer, update, cancellationToken);
}
