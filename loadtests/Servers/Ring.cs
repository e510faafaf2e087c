using System.Net.Http.Json;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.LoadTests.Servers;

/// <summary>Which group a key belongs to, as GET /v1/cluster/ring says: what a client of the binary protocol needs to use its token.</summary>
internal sealed class Ring
{
    private readonly GroupId[] _groupOfSlot = new GroupId[Limits.SlotCount];

    private Ring()
    {
    }

    public static async Task<Ring> FetchAsync(ClusterFile cluster, CancellationToken cancellation)
    {
        using var http = new HttpClient { BaseAddress = cluster.Nodes[0].Http };
        var described = await http.GetFromJsonAsync<JsonElement>("/v1/cluster/ring", cancellation);
        var ring = new Ring();
        foreach (var arc in described.GetProperty("arcs").EnumerateArray())
        {
            int first = arc.GetProperty("firstSlot").GetInt32(), last = arc.GetProperty("lastSlot").GetInt32();
            Array.Fill(ring._groupOfSlot, new GroupId(arc.GetProperty("group").GetUInt32()), first, last - first + 1);
        }

        return ring;
    }

    public GroupId GroupOf(ReadOnlySpan<byte> key) => _groupOfSlot[Slot.Of(key)];
}
