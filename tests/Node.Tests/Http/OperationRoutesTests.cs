using System.Net;
using KvStore.Node.Config;
using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class OperationRoutesTests
{
    /// <summary>Operations that REST does not offer, on purpose.</summary>
    private static readonly byte[] BinaryOnly = [Batch.OperationCode, GetRouting.OperationCode];

    [Fact]
    public void Every_operation_has_a_route_or_is_said_to_have_none()
    {
        var anywhere = new IPEndPoint(IPAddress.Loopback, 0);
        FrontDoor door = new(new FrontDoorOptions(new ClusterConfig { ClusterId = "test", Nodes = [] }, "n1", anywhere, anywhere), () => null);
        IReadOnlyList<OperationRoute> routes = OperationRoute.AllOf(door);
        Assert.Equal(OperationTable.All.Select(row => row.Code), routes.Select(route => route.Code).Concat(BinaryOnly).Order());
        Assert.All(routes, route => Assert.NotEmpty(route.Offered));
    }
}
