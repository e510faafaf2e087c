using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>Two queues per peer: control (heartbeats, votes, answers) is sent before appends in every turn.</summary>
public enum Lane : byte
{
    Control,
    Append,
}

/// <summary>
/// The network as a node sees it. Implemented by Node over TCP and by the simulator over nothing. Any thread may call; no call
/// blocks. Messages are delivered at most once, in order within a connection, or not at all.
/// </summary>
public interface ITransport
{
    /// <summary>
    /// Queues one payload (a peer batch, encoded) for a node. False: no connection, one whose other side knows less than the level the
    /// payload needs, or the lane is full; the payload is dropped. The loop has looked at the level before, but the connection may be
    /// another one by now.
    /// </summary>
    bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level);

    /// <summary>
    /// Passes a request on to another node over the binary protocol. Exactly one method of the completion is called, later, on
    /// any thread.
    /// </summary>
    void Forward(NodeId to, KvRequest request, IForwardCompletion completion);
}

public interface IForwardCompletion
{
    void Replied(KvReply reply);

    /// <summary>No reply will come. NotSent is a proof that the other node never saw the request.</summary>
    void Lost(bool notSent);
}

/// <summary>Where a reply goes: called exactly once, on a worker's thread or inline in Submit; it must not block.</summary>
public interface IReplySink
{
    /// <summary>Nobody wants the answer any more: a read that still waits for its turn need not be executed. Asked on a worker's thread.</summary>
    bool IsUnwanted => false;

    /// <summary>Whose request it is, where several share the node's places for requests; null: of nobody who has to share them.</summary>
    RequestSource? Source => null;

    void Complete(KvReply reply);
}
