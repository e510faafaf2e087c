namespace KvStore.Protocol;

/// <summary>The right to answer one request, once, from any thread, in any order. Completing never blocks and never throws.</summary>
public readonly struct ReplyTicket
{
    private readonly RequestServer _server;
    private readonly ulong _id;

    internal ReplyTicket(RequestServer server, ulong id)
    {
        _server = server;
        _id = id;
    }

    /// <summary>False: answered already, or the connection is gone and nobody is listening.</summary>
    public bool TryComplete(KvReply reply) => _server.TryReply(_id, reply);
}
