namespace KvStore.Protocol.Tests;

public sealed class RequestDigestTests
{
    // The first 8 bytes of SHA-256, computed by another program over the bytes that the two comments name.
    [Fact]
    public void The_digests_of_an_operation_are_pinned()
    {
        var put = new Put("k"u8, "v"u8, "a/b", new KvCondition(ConditionKind.RevisionIs, 256));

        // The number of the operation, then its body.
        Assert.Equal(new RequestDigest(DigestAlgorithm.Body, 0x3257_0A79_DC4D_39CC), RequestDigest.OfBody(put));

        // Number, condition kind, condition revision, delta, initial; then content type and value, each behind its length.
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 0x6909_751F_09D1_9D98), RequestDigest.OfFields(put.Flat!.Value));
        var increment = new Increment("k"u8, -2, 7);
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 0x5C69_2597_0D1E_AE57), RequestDigest.OfFields(increment.Flat!.Value));
    }

    [Fact]
    public void Digests_of_one_algorithm_are_compared_and_none_is_like_none_only()
    {
        var copy = new Increment("n"u8);
        RequestDigest none = default;
        var fields = new RequestDigest(DigestAlgorithm.Fields, 5);
        var body = new RequestDigest(DigestAlgorithm.Body, 5);
        foreach (RequestDigest digest in (RequestDigest[])[none, fields, body])
        {
            Assert.False(digest.Contradicts(digest, copy));
        }

        Assert.True(fields.Contradicts(fields with { Value = 6 }, copy));
        Assert.True(body.Contradicts(body with { Value = 6 }, copy));
        Assert.True(none.Contradicts(fields, copy));
        Assert.True(body.Contradicts(none, copy));
    }

    [Fact]
    public void B1_a_digest_of_another_algorithm_is_compared_by_way_of_what_is_asked()
    {
        var put = new Put("k"u8, "A"u8);
        var other = new Put("k"u8, "B"u8, "text/plain");
        RequestDigest[] recorded =
        [
            RequestDigest.OfBody(put), RequestDigest.OfFields(put.Flat!.Value), RequestDigest.OfFields(put.Flat!.Value, StoredValue.OctetStream),
        ];
        Assert.All(recorded, first => Assert.All(recorded, copy => Assert.False(copy.Contradicts(first, put))));
        Assert.All(
            recorded,
            first => Assert.All(
                [RequestDigest.OfBody(other), RequestDigest.OfFields(other.Flat!.Value)],
                copy => Assert.True(copy.Contradicts(first, other))));

        // What level 1 has never heard of was not the first copy of anything that it recorded.
        Assert.True(RequestDigest.OfBody(new Append("k"u8, "A"u8)).Contradicts(recorded[1], new Append("k"u8, "A"u8)));

        // A later build's: nothing is known of it, but for its like.
        var later = new RequestDigest((DigestAlgorithm)9, 5);
        Assert.False(recorded[0].Contradicts(later, put));
        Assert.True((later with { Value = 6 }).Contradicts(later, put));
    }

    [Fact]
    public void A_batch_keeps_the_digest_of_its_sender_at_level_1()
    {
        var one = new Batch(new Put("{t}a"u8, "1"u8), new Increment("{t}n"u8));
        var other = new Batch(new Put("{t}a"u8, "2"u8), new Increment("{t}n"u8));
        foreach (Batch batch in (Batch[])[one, other])
        {
            RequestDigest sent = RequestDigest.OfBody(batch);
            Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, sent.Value), sent.AtLevel1(batch.Flat!.Value));
            Assert.Equal(sent.AtLevel1(batch.Flat!.Value), sent.AtLevel1(batch.Flat!.Value).AtLevel1(batch.Flat!.Value));
        }

        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 1), new RequestDigest(DigestAlgorithm.Body, 0).AtLevel1(one.Flat!.Value));
        Assert.Equal(default, default(RequestDigest).AtLevel1(one.Flat!.Value));
    }

    [Fact]
    public void Level_1_has_no_digest_of_0()
    {
        Assert.Equal(default, RequestDigest.OfFlat(0));
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 1), RequestDigest.OfFlat(1));
    }
}
