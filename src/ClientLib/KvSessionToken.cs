namespace KvStore.Client;

/// <summary>
/// What a session has seen, as text to hand on: the value of the HTTP header <c>Kv-Session</c>, good at any node, for any client.
/// </summary>
public readonly record struct KvSessionToken(string Value)
{
    public override string ToString() => Value;
}
