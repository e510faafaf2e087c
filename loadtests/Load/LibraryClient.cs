using KvStore.Client;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// The .NET client as an application uses it: it finds leaders by itself, gives writes their ids, tries again. So whom a user of this scenario
/// would ask does not matter, and the nodes are where the client looks for the cluster first.
/// </summary>
internal sealed class LibraryClient : IStoreClient
{
    private readonly KvClient _client;
    private readonly int _nodes;

    public LibraryClient(IReadOnlyList<NodeAddress> nodes)
    {
        var options = new KvClientOptions { ClientName = "loadtests" };
        foreach (var node in nodes)
        {
            options.Endpoints.Add($"kv://{node.Binary}");
        }

        _client = new KvClient(options);
        _nodes = nodes.Count;
    }

    public int NodeCount => _nodes;

    public async ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
    {
        try
        {
            switch (request.Operation)
            {
                case Put put:
                    await _client.PutAsync(put.Key, put.Value);
                    return Done;
                case Get get when session is null:
                    await _client.GetAsync(get.Key, LevelOf(request.Read));
                    return Done;
                default:
                    throw new InvalidOperationException($"no scenario asks the library for {request.Operation.GetType().Name}");
            }
        }
        catch (KvException e)
        {
            return new KvReply { Code = e.Code, Outcome = e.Outcome, Detail = e.Message };
        }
    }

    public ValueTask DisposeAsync() => _client.DisposeAsync();

    private static KvReply Done { get; } = new() { Outcome = Outcome.Applied };

    private static Read LevelOf(ReadTerms terms) => terms.Level switch
    {
        ReadLevel.Strong => Read.Strong,
        ReadLevel.Eventual => Read.Anything,
        ReadLevel.Bounded => Read.Within(TimeSpan.FromMilliseconds(terms.MaxStalenessMs)),
        _ => throw new InvalidOperationException($"no scenario reads at level {terms.Level} through the library"),
    };
}
