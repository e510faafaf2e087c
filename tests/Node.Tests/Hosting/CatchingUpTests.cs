namespace KvStore.Node.Tests.Hosting;

public sealed class CatchingUpTests
{
    [Fact]
    public async Task C3_a_node_that_comes_back_is_ready_only_when_it_has_what_was_written_meanwhile()
    {
        await using var nodes = new SeparateNodes();
        await nodes.StartAsync("n1", "n2", "n3");
        await nodes.StopAsync("n2");
        await nodes.ReadyAsync("n1", "n3");
        await Parallel.ForAsync(0, 700, async (i, _) => await nodes.PutAsync("n1", $"key{i}", new string('v', 1000)));
        var committed = nodes["n1"].Store!.Groups.ToDictionary(group => group.Group, group => group.Commit);

        var n2 = await nodes.StartAsync("n2", disk: null);
        while (!n2.Store!.IsReady)
        {
            await Task.Yield();
        }

        Assert.All(n2.Store.Groups, group => Assert.True(
            group.Applied >= committed[group.Group], $"group {group.Group} is ready at {group.Applied} of {committed[group.Group]}"));
    }
}
