namespace KvStore.Protocol.Tests;

public sealed class OperationTests
{
    [Fact]
    public void Numbers_and_names_are_pinned_and_no_operation_is_forgotten()
    {
        // Numbers never change; a new operation gets a new line here and in docs/wire-protocol.md.
        (byte, string, Type, bool)[] published =
        [
            (1, "get", typeof(Get), false), (2, "put", typeof(Put), true), (3, "delete", typeof(Delete), true),
            (4, "incr", typeof(Increment), true), (5, "batch", typeof(Batch), true), (6, "append", typeof(Append), true), (7, "routing", typeof(GetRouting), false),
            (8, "txn", typeof(Transaction), true),
        ];
        Assert.Equal(published, OperationTable.All.Select(row => (row.Code, row.Name, row.Type, row.IsWrite)));
        Assert.All(OperationTable.All, row => Assert.Same(row, OperationTable.Find(row.Code)));
        Assert.Null(OperationTable.Find(0));
        Assert.Null(OperationTable.Find((byte)(OperationTable.All.Count + 1)));
        Assert.Equal(OperationTable.All.Select(row => (row.Code, row.Type)), Samples.FullOperations.Select(o => (o.Code, o.GetType())));
        var classes = typeof(Operation).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Operation)) && !type.IsAbstract);
        Assert.Equal(
            classes.Except([typeof(UnknownOperation)]).Select(type => type.Name).Order(),
            OperationTable.All.Select(row => row.Type.Name).Order());
    }

    [Fact]
    public void The_bytes_of_every_body_are_pinned()
    {
        var put = new Put("k"u8, "v"u8, "a/b", new KvCondition(ConditionKind.Absent));
        var delete = new Delete("l"u8, new KvCondition(ConditionKind.RevisionIs, 256));
        var increment = new Increment("m"u8, -42, 9, new KvCondition(ConditionKind.Exists));
        AssertBody("92" + "C4016B" + "C2", new Get("k"u8));
        AssertBody("92" + "C4016B" + "C3", new Get("k"u8, withoutValue: true));
        AssertBody("94" + "C4016B" + "03" + "00" + "C405" + "03612F62" + "76", put);
        AssertBody("94" + "C4016B" + "00" + "00" + "C402" + "00" + "76", new Put("k"u8, "v"u8));
        AssertBody("94" + "C4016B" + "00" + "00" + "C402" + "00" + "76", new Put("k"u8, "v"u8, "application/octet-stream"));
        AssertBody("93" + "C4016C" + "01" + "CD0100", delete);
        AssertBody("95" + "C4016D" + "02" + "00" + "D0D6" + "09", increment);
        AssertBody("91" + "00", new GetRouting(0));
        AssertBody("91" + "CD0100", new GetRouting(256));
        AssertBody(
            "93" + "92" + "02" + "C40D" + "94C4016B0300C40503612F6276" + "92" + "03" + "C408" + "93C4016C01CD0100"
            + "92" + "04" + "C409" + "95C4016D0200D0D609",
            new Batch(put, delete, increment));
        AssertBody(
            "93" + "95" + "9301C4016B07" + "9202C4016B" + "9203C4016B" + "9304C4016BC40176" + "9305C4016BC40503612F6276"
            + "91" + "9201C40592C4016BC2" + "91" + "9203C40893C4016C01CD0100",
            new Transaction(
                [
                    KeyCondition.RevisionIs("k"u8.ToArray(), 7), KeyCondition.Exists("k"u8.ToArray()), KeyCondition.Absent("k"u8.ToArray()),
                    KeyCondition.ValueIs("k"u8.ToArray(), "v"u8.ToArray()), KeyCondition.StoredIs("k"u8.ToArray(), "v"u8, "a/b"),
                ],
                [new Get("k"u8)],
                [delete]));

        static void AssertBody(string hex, Operation operation)
        {
            Assert.Equal(hex, Convert.ToHexString(operation.Body.Span));
            Samples.AssertSame(operation, OperationTable.TryRead(operation.Code, operation.Body)!, hex);
        }
    }

    [Fact]
    public void A_key_is_found_in_a_body_whatever_its_length()
    {
        foreach (int length in new[] { 0, 1, 255, 256, Limits.MaxKeyBytes, 65_535, 65_536 })
        {
            byte[] key = new byte[length];
            new Random(length).NextBytes(key);
            Operation[] operations = [new Get(key), new Put(key, "value"u8, "a/b"), new Delete(key), new Increment(key)];
            foreach (var operation in operations)
            {
                Assert.Equal(key, operation.Key.ToArray());
                Samples.AssertSame(operation, OperationTable.TryRead(operation.Code, operation.Body)!, $"{operation}, {length} bytes");
            }

            Assert.Equal("value"u8.ToArray(), ((Put)operations[1]).Value.ToArray());
            Assert.Equal("a/b", ((Put)operations[1]).ContentType);
            Assert.Equal(key, new Batch(new Delete(key)).Key.ToArray());
        }
    }

    [Fact]
    public void A_body_with_another_number_of_fields_is_no_body()
    {
        foreach (var operation in Samples.FullOperations.Where(operation => operation is not Batch))
        {
            byte[] body = operation.Body.ToArray();
            Assert.NotNull(OperationTable.TryRead(operation.Code, body));
            Assert.Null(OperationTable.TryRead(operation.Code, CodecTests.WithTwoMoreFields(body, body[0] & 0x0F)));
            Assert.Null(OperationTable.TryRead(operation.Code, (byte[])[(byte)(body[0] - 1), .. body.AsSpan(1)]));
            Assert.Null(OperationTable.TryRead(operation.Code, (byte[])[.. body, 0xC0]));
        }

        byte[] batch = Samples.FullBatch.Body.ToArray();
        Assert.Null(OperationTable.TryRead(Batch.OperationCode, (byte[])[.. batch, 0xC0]));
        byte[] longerItem = [.. batch];
        longerItem[1] = 0x93;
        Assert.Null(OperationTable.TryRead(Batch.OperationCode, longerItem));
    }

    // Each line is one valid body in which one value takes a form that is not the shortest, or not that of our writer.
    [Theory]
    [InlineData(Get.OperationCode, "92C4016BC2", "92C500016BC2")]
    [InlineData(Get.OperationCode, "92C4016BC2", "DC0002C4016BC2")]
    [InlineData(Delete.OperationCode, "93C4016B0107", "93C4016BCC0107")]
    [InlineData(Delete.OperationCode, "93C4016B0107", "93C4016BD00107")]
    [InlineData(Delete.OperationCode, "93C4016B0107", "93C4016B01CC07")]
    [InlineData(Delete.OperationCode, "93C4016B0107", "93C4016B01D007")]
    [InlineData(Delete.OperationCode, "93C4016B01CD0100", "93C4016B01D10100")]
    [InlineData(Delete.OperationCode, "93C4016B01CE00010000", "93C4016B01D200010000")]
    [InlineData(Delete.OperationCode, "93C4016B01CF0000000100000000", "93C4016B01D30000000100000000")]
    [InlineData(Delete.OperationCode, "93C4016B01CF0000000100000000", "93C6000000016B01CF0000000100000000")]
    [InlineData(Increment.OperationCode, "95C4016B0000FF00", "95C4016B0000D0FF00")]
    [InlineData(Increment.OperationCode, "95C4016B0000CD010000", "95C4016B0000D1010000")]
    [InlineData(Increment.OperationCode, "95C4016B0000CE0001000000", "95C4016B0000D20001000000")]
    [InlineData(Increment.OperationCode, "95C4016B000000CF0000000100000000", "95C4016B000000D30000000100000000")]
    [InlineData(Increment.OperationCode, "95C4016B0000D1FF0000", "95C4016B0000D2FFFFFF0000")]
    [InlineData(Batch.OperationCode, "919203C40693C4016B0000", "919203C5000693C4016B0000")]
    [InlineData(Batch.OperationCode, "919203C40693C4016B0000", "9192CC03C40693C4016B0000")]
    [InlineData(Batch.OperationCode, "919203C40693C4016B0000", "9192D003C40693C4016B0000")]
    public void Equal_operations_have_equal_bytes_because_no_other_form_is_read(byte code, string shortest, string other)
    {
        Assert.NotNull(OperationTable.TryRead(code, Convert.FromHexString(shortest)));
        Assert.Null(OperationTable.TryRead(code, Convert.FromHexString(other)));
    }

    [Fact]
    public void Random_operations_have_the_bytes_of_what_was_read_from_them()
    {
        const int Seed = 77_001;
        var random = new Random(Seed);
        for (int i = 0; i < 5_000; i++)
        {
            var operation = Samples.RandomOperation(random);
            var read = OperationTable.TryRead(operation.Code, operation.Body.ToArray());
            Samples.AssertSame(operation, read!, $"seed {Seed}, case {i}");
            Samples.AssertSame(operation, Rebuilt(read!), $"seed {Seed}, case {i}, rebuilt");
            Assert.Equal(operation.GetHashCode(), read!.GetHashCode());
        }
    }

    [Fact]
    public void Operations_differ_when_anything_in_them_does()
    {
        Operation[] different =
        [
            new Get("k"u8), new Get("l"u8), new Get("k"u8, withoutValue: true),
            new Put("k"u8, "v"u8), new Put("k"u8, "w"u8), new Put("k"u8, "v"u8, "a/b"),
            new Put("k"u8, "v"u8, null, new KvCondition(ConditionKind.Exists)),
            new Delete("k"u8), new Delete("k"u8, new KvCondition(ConditionKind.RevisionIs, 1)),
            new Delete("k"u8, new KvCondition(ConditionKind.RevisionIs, 2)),
            new Increment("k"u8), new Increment("k"u8, 2), new Increment("k"u8, 1, 2),
            new Increment("k"u8, 1, 0, new KvCondition(ConditionKind.Absent)),
            new Batch(new Delete("k"u8)), new Batch(new Delete("k"u8), new Delete("k"u8)), new Batch(new Increment("k"u8)),
            new GetRouting(0), new GetRouting(1),
            new Transaction([], [new Get("k"u8)], []), new Transaction([], [], [new Get("k"u8)]), new Transaction([], [new Delete("k"u8)], []),
            new Transaction([KeyCondition.Exists("k"u8.ToArray())], [], []), new Transaction([KeyCondition.Absent("k"u8.ToArray())], [], []),
            new Transaction([KeyCondition.ValueIs("k"u8.ToArray(), new byte[] { 0 })], [], []),
            new Transaction([KeyCondition.StoredIs("k"u8.ToArray(), [], null)], [], []),
            new UnknownOperation(6, default), new UnknownOperation(200, default), new UnknownOperation(6, new byte[] { 0 }),
        ];
        Assert.Equal(different.Length, different.Distinct().Count());
        var digests = different.Select(RequestDigest.OfBody).ToList();
        Assert.Equal(different.Length, digests.Distinct().Count());
    }

    [Fact]
    public void Sizes_above_the_limits_are_refused_with_the_limit_named()
    {
        var limits = new RequestLimits { KeyBytes = 4, ValueBytes = 10, RequestBytes = 16 };
        Assert.Null(new Get("1234"u8).Violation(limits));
        Assert.Null(new Put("1234"u8, "1234567890"u8).Violation(limits));
        Assert.Null(new Batch(new Put("1234"u8, "1234567890"u8), new Delete("12"u8)).Violation(limits));
        AssertRefused(ErrorCode.InvalidRequest, "empty", new Get([]));
        AssertRefused(ErrorCode.InvalidRequest, "empty", new Batch(new Delete("1"u8), new Increment([])));
        AssertRefused(ErrorCode.TooLarge, "keyBytes", new Get("12345"u8));
        AssertRefused(ErrorCode.TooLarge, "keyBytes", new Delete("12345"u8));
        AssertRefused(ErrorCode.TooLarge, "keyBytes", new Batch(new Delete("1"u8), new Increment("12345"u8)));
        AssertRefused(ErrorCode.TooLarge, "valueBytes", new Put("1"u8, "12345678901"u8));
        AssertRefused(ErrorCode.TooLarge, "valueBytes", new Batch(new Put("1"u8, "12345678901"u8)));
        AssertRefused(ErrorCode.TooLarge, "requestBytes", new Batch(new Put("1234"u8, "1234567890"u8), new Delete("123"u8)));
        Assert.Null(new Transaction([KeyCondition.Exists("{s}a"u8.ToArray())], [new Get("{s}b"u8)], [new Delete("{s}c"u8)]).Violation(new RequestLimits()));
        AssertRefused(ErrorCode.CrossGroupTransaction, "slots", new Transaction([KeyCondition.Exists("a"u8.ToArray())], [new Get("b"u8)], []));
        AssertRefused(ErrorCode.CrossGroupTransaction, "hash tag", new Transaction([], [new Get("a"u8)], [new Delete("b"u8)]));
        AssertRefused(ErrorCode.InvalidRequest, "empty", new Transaction([KeyCondition.Absent(default)], [], []));
        AssertRefused(ErrorCode.TooLarge, "keyBytes", new Transaction([], [], [new Get("12345"u8)]));
        AssertRefused(ErrorCode.TooLarge, "requestBytes", new Transaction([KeyCondition.ValueIs("1"u8.ToArray(), new byte[20])], [], []));
        AssertRefused(ErrorCode.InvalidRequest, "content type", new Put("1"u8, "v"u8, "a/\n"));
        AssertRefused(ErrorCode.InvalidRequest, "content type", new Batch(new Put("1"u8, "v"u8, "a/\n")));

        void AssertRefused(ErrorCode code, string text, Operation operation)
        {
            var violation = operation.Violation(limits);
            Assert.Equal(code, violation!.Value.Code);
            Assert.Contains(text, violation.Value.Detail, StringComparison.Ordinal);
        }
    }

    /// <summary>The same operation by way of its constructor.</summary>
    internal static Operation Rebuilt(Operation operation) => operation switch
    {
        Get get => new Get(get.Key.Span, get.WithoutValue),
        Put put => new Put(put.Key.Span, put.Value.Span, put.ContentType, put.Condition),
        Delete delete => new Delete(delete.Key.Span, delete.Condition),
        Increment increment => new Increment(increment.Key.Span, increment.Delta, increment.Initial, increment.Condition),
        Append append => new Append(append.Key.Span, append.Value.Span, StoredValue.ContentTypeOf(append.Stored.Span), append.Condition),
        GetRouting routing => new GetRouting(routing.SinceEpoch),
        Batch batch => new Batch([.. batch.Items.Select(item => (KeyWrite)Rebuilt(item))]),
        Transaction txn => new Transaction(txn.Conditions, [.. txn.Then.Select(Rebuilt)], [.. txn.Otherwise.Select(Rebuilt)]),
        _ when OperationTable.Find(operation.Code) is { } row =>
            throw new InvalidOperationException($"add a case for operation {row.Code}, {row.Name}, to OperationTests.Rebuilt"),
        _ => new UnknownOperation(operation.Code, operation.Body),
    };
}
