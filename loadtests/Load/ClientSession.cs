using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// What one client carries of its session: the newest token. The client sends one request at a time; other clients may take the
/// token meanwhile and go on from it.
/// </summary>
internal sealed class ClientSession(string clusterId)
{
    private SessionToken _token = SessionToken.Empty(clusterId);

    public SessionToken Token => Volatile.Read(ref _token);

    /// <summary>An answer was received, and this is the token to go on with.</summary>
    public void GoOnWith(SessionToken token) => Volatile.Write(ref _token, token);

    /// <exception cref="InvalidDataException">The server sent something that is no token of this cluster.</exception>
    public SessionToken Parse(string text) =>
        SessionToken.TryParse(text, clusterId, out var token, out var problem) ? token : throw new InvalidDataException($"Kv-Session: {problem}");

    /// <summary>Goes on from what another client has seen, too: its token came here with a message.</summary>
    public void Receive(ClientSession from) => GoOnWith(Token.Merge(from.Token));
}
