using KvStore.Protocol;

namespace KvStore.Replication.Tests;

public sealed class RequestRulesTests
{
    private static readonly RequestRules Rules = new(new RequestLimits(), new RoutingTable(1, [new GroupId(1)], [[], []]));

    [Theory]
    [InlineData(Requirements.Principal, "a principal", "namespace")]
    [InlineData(Requirements.Namespace, "a namespace", "principal")]
    [InlineData((Requirements)0x100, "bits 100", "principal")]
    [InlineData((Requirements)0x101, "a principal", "namespace")]
    public void What_a_request_requires_is_refused_by_its_name(Requirements required, string named, string not)
    {
        KvReply reply = Rules.Violation(new KvRequest { Operation = new Get("k"u8), Requires = required })!;
        Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied), (reply.Code, reply.Outcome));
        Assert.Contains(named, reply.Detail, StringComparison.Ordinal);
        Assert.DoesNotContain(not, reply.Detail, StringComparison.Ordinal);
    }
}
