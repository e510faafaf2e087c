using KvStore.Client.Routing;

namespace KvStore.Client;

/// <summary>
/// A thread of calls that sees its own writes and never less than it saw before, on whatever node it is answered. Reads that name no level are
/// <see cref="Read.InSession"/>. Its <see cref="Token"/> goes on in another process. Safe for any number of threads.
/// </summary>
public sealed class KvSession : KvOperations
{
    private static readonly AsyncLocal<KvSession?> Ambient = new();
    private readonly SessionState _state;

    internal KvSession(Calls calls, KvClientOptions options, SessionState state)
        : base(calls, options) => _state = state;

    /// <summary>The session that calls of this flow of control are made in where they name none; null when there is none.</summary>
    public static KvSession? Current => Ambient.Value;

    /// <summary>What the session has seen. Empty text until it has seen something.</summary>
    public KvSessionToken Token => new(_state.Text);

    /// <summary>Takes over what another session has seen: reads here see that, too.</summary>
    /// <exception cref="KvException">
    /// SessionTokenInvalid: unreadable, or of another cluster. Before the cluster is known the next call throws it.
    /// </exception>
    public void Observe(KvSessionToken other) => _state.Observe(other.Value);

    /// <summary>
    /// Makes it the session of all calls of this flow of control that name none, those of the client itself included, until the result is
    /// disposed.
    /// </summary>
    public IDisposable Use()
    {
        var before = new Reset(Ambient.Value);
        Ambient.Value = this;
        return before;
    }

    /// <summary>The session in use, if it is one of these calls.</summary>
    internal static SessionState? AmbientOf(Calls calls) =>
        Ambient.Value is { } current && ReferenceEquals(current.Calls, calls) ? current._state : null;

    private protected override Read DefaultRead => Read.InSession();

    private protected override SessionState? Session => _state;

    private sealed class Reset(KvSession? before) : IDisposable
    {
        public void Dispose() => Ambient.Value = before;
    }
}
