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

    /// <summary>False: answered already, or the connection is gone and nobody is listening. A reply that cannot be encoded ends it.</summary>
    public bool TryComplete(KvReply reply) => _server.TryReply(_id, reply);

    /// <summary>
    /// Answers in parts instead: what the source gives, then its reply. The source is closed in any case, here or later. False: as
    /// for TryComplete, or refused; the client has been told why then.
    /// </summary>
    public bool TryStream(ItemSource source) => _server.TryStream(_id, source);

    /// <summary>
    /// The client does not want the answer any more, or is gone. A read need not be executed then, but the ticket must be completed all the
    /// same: its id is taken until it is. A write is what it is.
    /// </summary>
    public bool IsCancelled => _server.IsCancelled(_id);
}
