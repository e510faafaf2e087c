namespace KvStore.Replication;

/// <summary>
/// The data directory does not belong to this node or this configuration. The message gives both sides and the remedy; nothing
/// was changed.
/// </summary>
public sealed class IdentityException : Exception
{
    public IdentityException()
    {
    }

    public IdentityException(string message)
        : base(message)
    {
    }

    public IdentityException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
