using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// A door of the cluster: the binary protocol or REST. Sending never throws for what a network does: a node that is not there
/// or a connection that breaks is a reply with a code and an honest outcome.
/// </summary>
internal interface IStoreClient : IAsyncDisposable
{
    /// <summary>How many nodes can be addressed.</summary>
    int NodeCount { get; }

    /// <param name="node">Index of the node that is asked.</param>
    /// <param name="lane">Requests of one lane share a connection where connections are shared.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="session">Goes with the request and goes on with what the answer adds; null when the client has none.</param>
    ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null);
}
