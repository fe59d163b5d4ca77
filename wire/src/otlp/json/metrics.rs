//! Metrics and their points.

use super::{Field, Object};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use serde::de::MapAccess;

impl Object for ExportMetricsServiceRequest {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resourceMetrics" => self.resource_metrics = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ResourceMetrics {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "resource" => self.resource = field.optional()?,
            "scopeMetrics" => self.scope_metrics = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ScopeMetrics {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "scope" => self.scope = field.optional()?,
            "metrics" => self.metrics = field.list()?,
            "schemaUrl" => self.schema_url = field.text()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Metric {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        let data = match name {
            "gauge" => field.optional()?.map(Data::Gauge),
            "sum" => field.optional()?.map(Data::Sum),
            "histogram" => field.optional()?.map(Data::Histogram),
            "exponentialHistogram" => field.optional()?.map(Data::ExponentialHistogram),
            "summary" => field.optional()?.map(Data::Summary),
            "name" => return field.text().map(|name| self.name = name),
            "description" => return field.text().map(|description| self.description = description),
            "unit" => return field.text().map(|unit| self.unit = unit),
            _ => return field.skip(),
        };
        if data.is_some() {
            self.data = data;
        }
        Ok(())
    }
}

impl Object for Gauge {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "dataPoints" => self.data_points = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Sum {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "dataPoints" => self.data_points = field.list()?,
            "aggregationTemporality" => self.aggregation_temporality = field.number_of_enum()?,
            "isMonotonic" => self.is_monotonic = field.bool()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Histogram {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "dataPoints" => self.data_points = field.list()?,
            "aggregationTemporality" => self.aggregation_temporality = field.number_of_enum()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ExponentialHistogram {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "dataPoints" => self.data_points = field.list()?,
            "aggregationTemporality" => self.aggregation_temporality = field.number_of_enum()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Summary {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "dataPoints" => self.data_points = field.list()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for NumberDataPoint {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "attributes" => self.attributes = field.list()?,
            "startTimeUnixNano" => self.start_time_unix_nano = field.int()?,
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "exemplars" => self.exemplars = field.list()?,
            "flags" => self.flags = field.int()?,
            "asDouble" => {
                self.value = field
                    .optional_double()?
                    .map(number_data_point::Value::AsDouble)
                    .or(self.value);
            }
            "asInt" => {
                self.value = field
                    .optional_int()?
                    .map(number_data_point::Value::AsInt)
                    .or(self.value);
            }
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for HistogramDataPoint {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "attributes" => self.attributes = field.list()?,
            "startTimeUnixNano" => self.start_time_unix_nano = field.int()?,
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "count" => self.count = field.int()?,
            "sum" => self.sum = field.optional_double()?,
            "bucketCounts" => self.bucket_counts = field.ints()?,
            "explicitBounds" => self.explicit_bounds = field.doubles()?,
            "exemplars" => self.exemplars = field.list()?,
            "flags" => self.flags = field.int()?,
            "min" => self.min = field.optional_double()?,
            "max" => self.max = field.optional_double()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ExponentialHistogramDataPoint {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "attributes" => self.attributes = field.list()?,
            "startTimeUnixNano" => self.start_time_unix_nano = field.int()?,
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "count" => self.count = field.int()?,
            "sum" => self.sum = field.optional_double()?,
            "scale" => self.scale = field.int()?,
            "zeroCount" => self.zero_count = field.int()?,
            "positive" => self.positive = field.optional()?,
            "negative" => self.negative = field.optional()?,
            "flags" => self.flags = field.int()?,
            "exemplars" => self.exemplars = field.list()?,
            "min" => self.min = field.optional_double()?,
            "max" => self.max = field.optional_double()?,
            "zeroThreshold" => self.zero_threshold = field.double()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Buckets {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "offset" => self.offset = field.int()?,
            "bucketCounts" => self.bucket_counts = field.ints()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for SummaryDataPoint {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "attributes" => self.attributes = field.list()?,
            "startTimeUnixNano" => self.start_time_unix_nano = field.int()?,
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "count" => self.count = field.int()?,
            "sum" => self.sum = field.double()?,
            "quantileValues" => self.quantile_values = field.list()?,
            "flags" => self.flags = field.int()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for ValueAtQuantile {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "quantile" => self.quantile = field.double()?,
            "value" => self.value = field.double()?,
            _ => field.skip()?,
        }
        Ok(())
    }
}

impl Object for Exemplar {
    fn set<'de, A: MapAccess<'de>>(&mut self, name: &str, field: Field<'_, A>) -> Result<(), A::Error> {
        match name {
            "filteredAttributes" => self.filtered_attributes = field.list()?,
            "timeUnixNano" => self.time_unix_nano = field.int()?,
            "asDouble" => {
                self.value = field
                    .optional_double()?
                    .map(exemplar::Value::AsDouble)
                    .or(self.value);
            }
            "asInt" => self.value = field.optional_int()?.map(exemplar::Value::AsInt).or(self.value),
            "spanId" => self.span_id = field.id(8)?,
            "traceId" => self.trace_id = field.id(16)?,
            _ => field.skip()?,
        }
        Ok(())
    }
}
