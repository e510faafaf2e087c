using KvStore.Client.Routing;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// A client of one cluster: finds its nodes, keeps a connection to each, asks the one that fits and asks another one when that fails. Make one
/// per application and share it: it is safe for any number of threads. Nothing is dialled before the first call.
/// </summary>
public sealed class KvClient : KvOperations, IAsyncDisposable
{
    private readonly KnownCluster _cluster;

    /// <param name="connectionString">Endpoints such as <c>localhost:7101</c>, or words such as <c>Endpoints=…;Consistency=session</c>.</param>
    /// <exception cref="ArgumentException">It says something that cannot be meant.</exception>
    public KvClient(string connectionString)
        : this(KvClientOptions.Parse(connectionString))
    {
    }

    /// <exception cref="ArgumentException">The options contradict what is possible.</exception>
    public KvClient(KvClientOptions options)
        : this(options, new KnownCluster(options))
    {
    }

    private KvClient(KvClientOptions options, KnownCluster cluster)
        : base(new Calls(cluster, options), options)
    {
        Options = options;
        _cluster = cluster;
    }

    /// <summary>Of the cluster it talks to; null until the first node has answered. From then on no other cluster is talked to.</summary>
    public string? ClusterId => _cluster.ClusterId;

    internal KvClientOptions Options { get; }

    /// <summary>Connections that are open now.</summary>
    internal int OpenLinks => _cluster.State.Links.Count(link => link.IsUsable);

    // Whoever puts a session in use wants its reads to be of it; a level that is named is kept.
    private protected override Read DefaultRead => Session is null ? Options.DefaultRead : Read.InSession();

    private protected override SessionState? Session => KvSession.AmbientOf(Calls);

    /// <summary>Finds the cluster now instead of with the first call.</summary>
    /// <exception cref="KvException">No node can be reached within the client's timeout.</exception>
    public async ValueTask ConnectAsync(CancellationToken cancellationToken = default) =>
        await Calls.RunAsync(new Call(RoutingQuestion.Since(ulong.MaxValue), Read.Anything, default, null, null), cancellationToken).ConfigureAwait(false);

    /// <summary>Begins a session, or takes one up where a token left it.</summary>
    public KvSession CreateSession(KvSessionToken? resume = null)
    {
        var session = new KvSession(Calls, Options, Calls.NewSession());
        if (resume is { } token)
        {
            session.Observe(token);
        }

        return session;
    }

    /// <summary>
    /// Asks what became of a write of which nobody knew: sends it again under its own id, so that it is done once however often this is called.
    /// The store remembers it for ten minutes; ask within nine.
    /// </summary>
    /// <exception cref="KvOutcomeUnknownException">It is still not known.</exception>
    /// <exception cref="KvException">IdempotencyExpired: the store remembers it no longer. Or it was refused.</exception>
    public async ValueTask<KvWrite> ResolveAsync(KvOutcomeUnknownException unknown, CancellationToken cancellationToken = default)
    {
        KvRequest request = unknown.Request ?? throw new ArgumentException("The write was not sent by a KvClient.", nameof(unknown));
        return WriteOf(await Calls.RunAsync(
            new Call(request.Operation, Read.Strong, request.Ack, null, null, request.Id), cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Where a key lives, and who leads there as far as the client knows.</summary>
    /// <exception cref="KvException">No node can be reached, or it does not say.</exception>
    public async ValueTask<KvLocation> LocateAsync(KvKey key, CancellationToken cancellationToken = default)
    {
        KvTopology topology = await GetTopologyAsync(cancellationToken).ConfigureAwait(false);
        ReadOnlySpan<byte> bytes = key.Bytes.Span;
        RoutingTable table = topology.Table;
        int virtualNode = table.VirtualNodeOf(bytes);
        KvGroup group = topology.Groups[(int)table.GroupOf(virtualNode).Value - 1];
        return new KvLocation(Slot.Of(bytes), virtualNode, group);
    }

    /// <summary>Nodes, groups and their leaders, as a node tells them now.</summary>
    /// <exception cref="KvException">No node can be reached, or it does not say.</exception>
    public async ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default)
    {
        KvReply reply = await Calls.RunAsync(
            new Call(RoutingQuestion.Since(0), Read.Anything, default, null, null), cancellationToken).ConfigureAwait(false);
        if (reply.Result is not ClusterRouting routing || routing.ToTable() is not { } table)
        {
            throw new KvException(ErrorCode.Unsupported, "the node that answered cannot tell where keys live; upgrade it");
        }

        foreach (GroupLeader leader in routing.Leaders)
        {
            _cluster.State.Learn(leader.Group, leader.Leader, leader.Term);
        }

        string NameOf(NodeId node) => routing.Nodes.FirstOrDefault(one => one.Node == node).Name ?? node.ToString();
        var groups = new KvGroup[table.GroupCount];
        for (uint group = 1; group <= groups.Length; group++)
        {
            NodeId leader = routing.Leaders.FirstOrDefault(one => one.Group.Value == group).Leader;
            groups[group - 1] = new KvGroup(
                group, leader.IsNone ? null : NameOf(leader), [.. table.ReplicasOf(new GroupId(group)).Select(replica => NameOf(replica.Node))]);
        }

        return new KvTopology(
            ClusterId!, routing.Revision, table.VirtualNodeCount, [.. routing.Nodes.Select(one => new KvNode(one.Name, one.Http, one.Binary, one.Zone))],
            groups)
        {
            Table = table,
        };
    }

    /// <summary>Closes all connections. Calls in flight end.</summary>
    public ValueTask DisposeAsync() => _cluster.DisposeAsync();
}
