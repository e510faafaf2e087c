using System.Globalization;
using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Testing.Tests;

/// <summary>The store in memory against real nodes: the same calls, the same answers.</summary>
public sealed class InMemoryKvStoreTests
{
    private const int Calls = 600;
    private const int Seed = 5;
    private static readonly string[] Keys = ["{k}0", "{k}1", "{k}2", "", new string('x', 2049)];

    private sealed record Order(int Number, string State);

    [Fact]
    public async Task It_answers_as_a_cluster_does()
    {
        await using var cluster = await KvTestCluster.StartAsync(nodes: 1);
        await using KvClient kv = cluster.CreateClient();
        var memory = new InMemoryKvStore();
        var random = new Random(Seed);
        var seen = new HashSet<string>();
        for (int i = 0; i < Calls; i++)
        {
            // Conditions on revisions are made of what each store has answered: the numbers differ, what they mean does not.
            int call = random.Next();
            string real = await AnswerAsync(kv, call);
            Assert.Equal(real, await AnswerAsync(memory, call));
            seen.Add(real.Split(' ')[0]);
        }

        string[] expected = ["get", "put", "delete", "append", "count", "all", "KvException:NotANumber", "KvException:ConditionFailed", "KvException:TooLarge", "KvException:InvalidRequest"];
        Assert.Empty(expected.Except(seen));
    }

    [Fact]
    public async Task What_is_built_on_the_calls_works_on_it_and_a_test_may_make_a_call_fail()
    {
        var store = new InMemoryKvStore();
        KvCollection<Order> orders = store.Collection<Order>("orders/");
        Assert.True(await orders.CreateAsync("17", new Order(17, "new")));
        Assert.False(await orders.CreateAsync("17", new Order(17, "again")));
        Assert.Equal("paid", (await orders.UpdateAsync("17", order => order with { State = "paid" })).State);
        Assert.Equal(["orders/17"], store.Keys);

        store.FailNext(new KvException(ErrorCode.NoLeader, "as if there were none"));
        var failed = await Assert.ThrowsAsync<KvException>(async () => await orders.GetAsync("17"));
        Assert.Equal(ErrorCode.NoLeader, failed.Code);
        Assert.Equal("paid", (await orders.GetAsync("17")).Value!.State);

        var stray = await Assert.ThrowsAsync<KvException>(async () => await store.TransactAsync(new KvTransaction().Put("a", "1").Put("b", "2")));
        Assert.Equal(ErrorCode.CrossGroupTransaction, stray.Code);
    }

    private static async Task<string> AnswerAsync(IKvStore store, int call)
    {
        var random = new Random(call);
        string key = Keys[random.Next(20) == 0 ? random.Next(Keys.Length) : random.Next(3)];
        KvValue value = random.Next(6) switch
        {
            0 => 41L,
            1 => "long.MaxValue",
            2 => long.MaxValue,
            3 => new KvValue("+1"u8.ToArray()),
            4 when random.Next(10) == 0 => new byte[700_000],
            _ => "text",
        };
        WriteOptions? options = random.Next(6) switch
        {
            0 => WriteOptions.Create,
            1 => WriteOptions.Replace,
            2 when key.Length is > 0 and < 2049 => new WriteOptions { IfRevision = (await store.GetAsync(key)).Revision },
            3 => new WriteOptions { IfRevision = new KvRevision(7) },
            _ => null,
        };
        long delta = random.Next(4) == 0 ? long.MaxValue : random.Next(-3, 4);
        try
        {
            switch (random.Next(7))
            {
                case 0:
                    return $"put {Show(await store.PutAsync(key, value, options))}";
                case 1:
                    return $"delete {Show(await store.DeleteAsync(key, options))}";
                case 2:
                    return $"append {Show(await store.AppendAsync(key, value, options))}";
                case 3:
                    return $"count {(await store.IncrementAsync(key, delta, 5, options)).ToString(CultureInfo.InvariantCulture)}";
                case 4:
                    KvTransactionResult all = await store.TransactAsync(
                        new KvTransaction().Put(Keys[0], value, options).Increment(Keys[1], delta).Delete(Keys[random.Next(3)]).Append(Keys[0], "!"));
                    return $"all {all.Applied} {all.FailedAt} {string.Join(',', all.Items.Select(item => $"{item.Code}/{item.Number}"))}";
                case 5:
                    KvBatchResult batch = await store.BatchAsync(new KvBatch().Get(key).Get(Keys[1]));
                    return $"batch {string.Join(',', batch.Items.Select(item => item.Error?.Code.ToString() ?? Show(item.Read!.Value)))}";
                default:
                    return $"get {Show(await store.GetAsync(key))}";
            }
        }
        catch (KvException e)
        {
            return $"KvException:{e.Code} {e.Outcome}";
        }
    }

    private static string Show(KvWrite write) => $"{write.Outcome} existed {write.Existed} has a revision {!write.Revision.IsAbsent}";

    private static string Show(KvRead read) =>
        read.Found ? $"{read.Value.ContentType} {read.Value.Bytes.Length} {read.Value.AsText()}" : $"nothing {read.Revision}";
}
